#include "shim/logger.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <vector>

#include "oci/base/signals.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::shim {

struct Logger::State {
  State(const asio::any_io_executor& executor, pid_t of) : ended(executor), pid(of) {}
  Event ended;
  pid_t pid;
};

namespace {

constexpr std::chrono::seconds kReadyPatience{10};
// Between the end of the pipe and that of a program that could not be executed.
constexpr std::chrono::milliseconds kStillbirth{50};

struct Pipes {
  std::pair<UniqueFd, UniqueFd> out;
  std::pair<UniqueFd, UniqueFd> err;
  std::pair<UniqueFd, UniqueFd> ready;
};

// Away from the fds that they are put on.
Result<UniqueFd> above(const UniqueFd& fd) {
  UniqueFd high(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 10));
  if (!high) return fail_errno(errno, "duplicate a pipe");
  return high;
}

Result<pid_t> spawn(const IoUri& uri, const Pipes& pipes, const std::string& name_space,
                    const std::string& container_id) {
  const auto null = TRY(sys::open_at(AT_FDCWD, "/dev/null", O_RDWR));
  const auto out = TRY(above(pipes.out.first));
  const auto err = TRY(above(pipes.err.first));
  const auto ready = TRY(above(pipes.ready.second));
  std::vector<std::string> words{uri.path};
  words.insert(words.end(), uri.words.begin(), uri.words.end());
  std::vector<std::string> settings{"CONTAINER_ID=" + container_id,
                                    "CONTAINER_NAMESPACE=" + name_space};
  if (const char* path = ::getenv("PATH"); path != nullptr) {
    settings.push_back(std::string("PATH=") + path);
  }
  const auto pointers = [](std::vector<std::string>& texts) {
    std::vector<char*> list;
    for (std::string& text : texts) list.push_back(text.data());
    list.push_back(nullptr);
    return list;
  };
  const auto argv = pointers(words);
  const auto environment = pointers(settings);
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno(errno, "fork");
  if (pid > 0) return pid;
  (void)reset_signals();
  const std::array fds{null.get(), null.get(), null.get(), out.get(), err.get(), ready.get()};
  for (int to = 0; to < static_cast<int>(fds.size()); ++to) {
    if (::dup2(fds[static_cast<std::size_t>(to)], to) != to) ::_exit(127);
  }
  (void)::syscall(SYS_close_range, static_cast<unsigned>(fds.size()), ~0U, 0U);
  ::execve(uri.path.c_str(), argv.data(), environment.data());
  ::_exit(127);
}

// A byte or the end of the pipe, whatever comes first; both mean that it has begun, and whether it
// still runs is asked afterwards.
Task<void> wait_ready(int fd) {
  const auto executor = co_await asio::this_coro::executor;
  auto ready = std::make_shared<Event>(executor);
  agentvm::spawn<void>(executor, wait_readable(fd), [ready](const Result<void>&) { ready->set(); });
  if (co_await ready->wait_for(kReadyPatience)) co_return Result<void>{};
  co_return fail(ErrorKind::unavailable, "it did not say that it is ready");
}

}  // namespace

Task<Logger::Started> Logger::start(Reaper& reaper, const IoUri& uri, std::string name_space,
                                    std::string container_id) {
  Pipes pipes;
  pipes.out = CO_TRY(sys::pipe());
  pipes.err = CO_TRY(sys::pipe());
  pipes.ready = CO_TRY(sys::pipe());
  const pid_t pid = CO_TRY(spawn(uri, pipes, name_space, container_id));
  pipes.ready.second.reset();
  const auto executor = co_await asio::this_coro::executor;
  auto state = std::make_shared<State>(executor, pid);
  reaper.watch(pid, [state](int) { state->ended.set(); });
  std::unique_ptr<Logger> logger(new Logger(state));
  auto ready = co_await wait_ready(pipes.ready.first.get());
  CO_TRY(std::move(ready), "logging program '{}'", uri.path);
  char byte = 0;
  const ssize_t told = ::read(pipes.ready.first.get(), &byte, 1);
  if (told < 0) co_return fail_errno(errno, "logging program");
  // Its end without a word is that of a program that could not be executed.
  bool failed = told == 0;
  if (failed) failed = co_await state->ended.wait_for(kStillbirth);
  if (failed) {
    co_return fail(ErrorKind::unavailable,
                   fmt::format("logging program '{}' ended at once", uri.path));
  }
  Started started;
  started.logger = std::move(logger);
  started.out = std::move(pipes.out.second);
  started.err = std::move(pipes.err.second);
  co_return started;
}

Logger::~Logger() {
  if (!state_->ended.is_set()) (void)::kill(state_->pid, SIGKILL);
}

asio::awaitable<void> Logger::wait_end(std::chrono::milliseconds patience) {
  const auto state = state_;
  if (co_await state->ended.wait_for(patience)) co_return;
  (void)::kill(state->pid, SIGKILL);
  co_await state->ended.wait();
}

}  // namespace agentvm::shim
