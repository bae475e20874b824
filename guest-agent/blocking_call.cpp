#include "guest-agent/blocking_call.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <memory>
#include <utility>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

// A child on its way to its end, and what it needs until then.
struct Errand {
  explicit Errand(const asio::any_io_executor& executor) : ended(executor) {}
  Event ended;
  int status = 0;
  SlowCall call;
  alignas(16) std::array<std::byte, 16384> stack{};
};

Task<void> wait_for(std::shared_ptr<Errand> errand, std::string doing,
                    std::chrono::milliseconds limit) {
  bool in_time = true;
  if (limit.count() == 0) {
    co_await errand->ended.wait();
  } else {
    in_time = co_await errand->ended.wait_for(limit);
  }
  if (!in_time) {
    co_return fail(ErrorKind::unavailable,
                   fmt::format("{}: not done in {} ms", doing, limit.count()));
  }
  if (!WIFEXITED(errand->status)) {
    co_return fail(ErrorKind::internal,
                   fmt::format("{}: killed by signal {}", doing, WTERMSIG(errand->status)));
  }
  if (WEXITSTATUS(errand->status) != 0) co_return fail_errno(WEXITSTATUS(errand->status), doing);
  co_return Result<void>();
}

void watch(Reaper& reaper, pid_t pid, const std::shared_ptr<Errand>& errand) {
  reaper.watch(pid, [errand](int status) {
    errand->status = status;
    errand->ended.set();
  });
}

// These two run on a bare stack beside the agent: without what a sanitizer would add.
#define AGENTVM_BARE __attribute__((no_sanitize("address", "undefined")))

// The raw call: errno, like all of the C library's state, belongs to the agent, which runs on.
AGENTVM_BARE long make_call(const SlowCall& call) {
  long result = call.number;
  register std::uintptr_t fourth asm("r10") = call.arguments[3];
  register std::uintptr_t fifth asm("r8") = call.arguments[4];
  asm volatile("syscall"
               : "+a"(result)
               : "D"(call.arguments[0]), "S"(call.arguments[1]), "d"(call.arguments[2]),
                 "r"(fourth), "r"(fifth)
               : "rcx", "r11", "memory");
  return result;
}

// On a stack of its own; ends with the errno.
AGENTVM_BARE int run_errand(void* raw) {
  const long result = make_call(static_cast<const Errand*>(raw)->call);
  const long status = result < 0 ? -result : 0;
  make_call({SYS_exit, {static_cast<std::uintptr_t>(status)}});
  return 0;
}

}  // namespace

Task<void> call_apart(Reaper& reaper, std::string doing, SlowCall call,
                      std::chrono::milliseconds limit) {
  const auto errand = std::make_shared<Errand>(co_await asio::this_coro::executor);
  errand->call = call;
  {
    const auto launching = reaper.launching();
    std::byte* top = errand->stack.data() + errand->stack.size();
    const int pid = ::clone(run_errand, top, CLONE_VM | SIGCHLD, errand.get());
    if (pid < 0) co_return fail_errno(errno, doing + ": clone");
    watch(reaper, pid, errand);
  }
  co_return co_await wait_for(errand, std::move(doing), limit);
}

Task<void> call_in_child(Reaper& reaper, std::string doing, std::function<int()> call) {
  const auto errand = std::make_shared<Errand>(co_await asio::this_coro::executor);
  {
    const auto launching = reaper.launching();
    const pid_t pid = ::fork();
    if (pid < 0) co_return fail_errno(errno, doing + ": fork");
    if (pid == 0) ::_exit(call());
    watch(reaper, pid, errand);
  }
  co_return co_await wait_for(errand, std::move(doing), std::chrono::milliseconds(0));
}

Task<void> sync_file_system(Reaper& reaper, std::string path) {
  auto directory = CO_TRY(sys::open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  SlowCall call{SYS_syncfs, {static_cast<std::uintptr_t>(directory.get())}};
  auto synced = co_await call_apart(reaper, fmt::format("sync '{}'", path), call);
  co_return synced;
}

}  // namespace agentvm::guest
