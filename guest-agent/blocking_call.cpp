#include "guest-agent/blocking_call.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <utility>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

Task<void> call_in_child(Reaper& reaper, std::string doing, std::function<int()> call,
                         std::chrono::milliseconds limit) {
  const auto executor = co_await asio::this_coro::executor;
  struct Ended {
    explicit Ended(const asio::any_io_executor& executor) : event(executor) {}
    Event event;
    int status = 0;
  };
  const auto ended = std::make_shared<Ended>(executor);
  {
    const auto launching = reaper.launching();
    const pid_t pid = ::fork();
    if (pid < 0) co_return fail_errno(errno, doing + ": fork");
    if (pid == 0) ::_exit(call());
    reaper.watch(pid, [ended](int status) {
      ended->status = status;
      ended->event.set();
    });
  }
  bool in_time = true;
  if (limit.count() == 0) {
    co_await ended->event.wait();
  } else {
    in_time = co_await ended->event.wait_for(limit);
  }
  if (!in_time) {
    co_return fail(ErrorKind::unavailable,
                   fmt::format("{}: not done in {} ms", doing, limit.count()));
  }
  if (!WIFEXITED(ended->status)) {
    co_return fail(ErrorKind::internal,
                   fmt::format("{}: killed by signal {}", doing, WTERMSIG(ended->status)));
  }
  if (WEXITSTATUS(ended->status) != 0) co_return fail_errno(WEXITSTATUS(ended->status), doing);
  co_return Result<void>();
}

Task<void> sync_file_system(Reaper& reaper, std::string path) {
  auto directory = CO_TRY(sys::open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  const int fd = directory.get();
  auto synced = co_await call_in_child(reaper, fmt::format("sync '{}'", path),
                                       [fd] { return ::syncfs(fd) == 0 ? 0 : errno; });
  co_return synced;
}

}  // namespace agentvm::guest
