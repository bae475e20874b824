#include "runtime/hook_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "oci/base/signals.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kTailBytes = 4096;

enum class Stage : std::uint8_t { process_group, network_namespace, descriptors, execute };

// What the child sends home when it cannot execute the hook.
struct Failure {
  Stage stage = Stage::execute;
  int errnum = 0;
};

std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Everything the child needs, made before fork(2): afterwards it must not allocate.
struct ChildPlan {
  const char* path;
  char* const* argv;
  char* const* envp;
  int input;
  int out;
  int err;
  int failure;
  int network_namespace;
  pid_t parent;
};

[[noreturn]] void fail_child(const ChildPlan& plan, Stage stage) {
  const Failure failure{stage, errno};
  static_cast<void>(!::write(plan.failure, &failure, sizeof failure));
  ::_exit(127);
}

[[noreturn]] void be_the_hook(const ChildPlan& plan) {
  if (::setpgid(0, 0) != 0) fail_child(plan, Stage::process_group);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != plan.parent) ::_exit(127);
  if (plan.network_namespace >= 0 && ::setns(plan.network_namespace, CLONE_NEWNET) != 0) {
    fail_child(plan, Stage::network_namespace);
  }
  (void)reset_signals();
  // The sources are all above 2 (see run_hook_process), so no dup2 destroys another's source.
  if (::dup2(plan.input, 0) < 0 || ::dup2(plan.out, 1) < 0 || ::dup2(plan.err, 2) < 0 ||
      ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0) {
    fail_child(plan, Stage::descriptors);
  }
  ::execve(plan.path, plan.argv, plan.envp);
  fail_child(plan, Stage::execute);
}

// Keeps the end of a stream.
class Tail {
 public:
  explicit Tail(int fd) : fd_(fd) { ::fcntl(fd, F_SETFL, O_NONBLOCK); }

  [[nodiscard]] bool open() const { return !ended_; }
  [[nodiscard]] int fd() const { return fd_; }

  // What is there now, without waiting.
  void read_available() {
    std::array<char, 4096> chunk;
    while (!ended_) {
      const ssize_t n = ::read(fd_, chunk.data(), chunk.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0) {
        ended_ = true;
        return;
      }
      text_.append(chunk.data(), static_cast<std::size_t>(n));
      if (text_.size() > kTailBytes) text_.erase(0, text_.size() - kTailBytes);
      // A hook that writes without end must not keep the deadline from being looked at.
      if (n < static_cast<ssize_t>(chunk.size())) return;
      if (++rounds_ % 64 == 0) return;
    }
  }

  // For a message: one line, no terminal's control sequences.
  [[nodiscard]] std::string take() {
    while (!text_.empty() && (text_.back() == '\n' || text_.back() == '\r')) text_.pop_back();
    std::ranges::replace_if(
        text_, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
    return std::move(text_);
  }

 private:
  int fd_;
  bool ended_ = false;
  unsigned rounds_ = 0;
  std::string text_;
};

int poll_timeout(const std::optional<Clock::time_point>& end) {
  if (!end) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*end - Clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000'000));
}

// Until the process has ended; false when the time ran out first.
bool watch(int pidfd, Tail& out, Tail& err, const std::optional<Clock::time_point>& end) {
  for (;;) {
    std::array<pollfd, 3> entries{{{pidfd, POLLIN, 0},
                                   {out.open() ? out.fd() : -1, POLLIN, 0},
                                   {err.open() ? err.fd() : -1, POLLIN, 0}}};
    const int ready = ::poll(entries.data(), entries.size(), poll_timeout(end));
    out.read_available();
    err.read_available();
    if (ready > 0 && entries[0].revents != 0) return true;
    if (end && Clock::now() >= *end) return false;
  }
}

std::unexpected<Error> explain(const HookCommand& command, const Failure& failure) {
  switch (failure.stage) {
    case Stage::process_group:
      return fail_errno(failure.errnum, "make its process group");
    case Stage::network_namespace:
      return fail_errno(failure.errnum, "enter the container's network namespace");
    case Stage::descriptors:
      return fail_errno(failure.errnum, "set up its descriptors");
    case Stage::execute:
      break;
  }
  // Not errno's own words: Docker takes them for a missing command of the container.
  if (failure.errnum == ENOENT || failure.errnum == ENOTDIR) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("'{}' or its interpreter is missing on this host", command.path));
  }
  if (failure.errnum == EACCES) {
    return fail(ErrorKind::invalid_argument, fmt::format("'{}' is not executable", command.path));
  }
  return fail_errno(failure.errnum, fmt::format("execute '{}'", command.path));
}

int reap(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

// A copy that no dup2 onto 0, 1 or 2 hits.
Result<UniqueFd> above_two(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) return fail_errno(errno, "duplicate a file descriptor");
  return copy;
}

}  // namespace

Result<HookOutcome> run_hook_process(const HookCommand& command) {
  const std::vector<std::string> args =
      command.args.empty() ? std::vector{command.path} : command.args;
  const std::vector<char*> argv = pointers_to(args);
  const std::vector<char*> envp = pointers_to(command.env);
  auto out = TRY(sys::pipe());
  auto err = TRY(sys::pipe());
  auto failure_pipe = TRY(sys::pipe());
  const auto input = TRY(above_two(command.input));
  auto out_end = TRY(above_two(out.second.get()));
  auto err_end = TRY(above_two(err.second.get()));
  auto failure_end = TRY(above_two(failure_pipe.second.get()));
  out.second.reset();
  err.second.reset();
  failure_pipe.second.reset();

  const ChildPlan plan{command.path.c_str(),
                       argv.data(),
                       envp.data(),
                       input.get(),
                       out_end.get(),
                       err_end.get(),
                       failure_end.get(),
                       command.network_namespace,
                       ::getpid()};
  const auto end = command.timeout ? std::optional(Clock::now() + *command.timeout) : std::nullopt;
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno(errno, "fork");
  if (pid == 0) be_the_hook(plan);
  out_end.reset();
  err_end.reset();
  failure_end.reset();

  Failure failure;
  ssize_t told = -1;
  do {
    told = ::read(failure_pipe.first.get(), &failure, sizeof failure);
  } while (told < 0 && errno == EINTR);
  if (told == sizeof failure) {
    reap(pid);
    return explain(command, failure);
  }
  const auto pidfd = sys::pidfd_open(pid);
  if (!pidfd) {
    ::kill(-pid, SIGKILL);
    reap(pid);
    return std::unexpected(pidfd.error());
  }
  Tail out_tail(out.first.get());
  Tail err_tail(err.first.get());
  HookOutcome outcome;
  outcome.timed_out = !watch(pidfd->get(), out_tail, err_tail, end);
  if (outcome.timed_out) {
    ::kill(-pid, SIGKILL);
    ::kill(pid, SIGKILL);  // one that has left its group; not reaped yet, so the pid is its own
  }
  outcome.wait_status = reap(pid);
  out_tail.read_available();
  err_tail.read_available();
  outcome.out = out_tail.take();
  outcome.err = err_tail.take();
  return outcome;
}

}  // namespace agentvm::runtime
