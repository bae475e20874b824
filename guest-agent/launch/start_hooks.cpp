#include "guest-agent/launch/start_hooks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <optional>

#include "guest-agent/launch/argv.h"
#include "guest-agent/launch/lookup.h"
#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kTailBytes = 4096;

struct Ends {
  UniqueFd out;
  UniqueFd err;
  UniqueFd failure;  // CLOEXEC: an errno, or its end when the hook runs
};

[[noreturn]] void be_the_hook(const oci::Hook& hook, int input, const Ends& ends) {
  const std::vector<std::string> args = hook.args.empty() ? std::vector{hook.path} : hook.args;
  if (::setpgid(0, 0) == 0 && ::lseek(input, 0, SEEK_SET) == 0 && ::dup2(input, 0) >= 0 &&
      ::dup2(ends.out.get(), 1) >= 0 && ::dup2(ends.err.get(), 2) >= 0 &&
      ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0) {
    ::execve(hook.path.c_str(), Argv(args).get(), Argv(hook.env).get());
  }
  const int errnum = errno;
  (void)!::write(ends.failure.get(), &errnum, sizeof errnum);
  ::_exit(127);
}

// The end of what a hook wrote, as it may stand in a message.
std::string text_of(std::string bytes) {
  while (!bytes.empty() && (bytes.back() == '\n' || bytes.back() == '\r')) bytes.pop_back();
  std::ranges::replace_if(
      bytes, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }, ' ');
  return bytes;
}

// Reads once; false at the end of the stream.
bool read_some(int fd, std::string& tail) {
  std::array<char, kTailBytes> chunk{};
  const ssize_t n = ::read(fd, chunk.data(), chunk.size());
  if (n < 0) return errno == EINTR || errno == EAGAIN;
  tail.append(chunk.data(), static_cast<std::size_t>(n));
  if (tail.size() > kTailBytes) tail.erase(0, tail.size() - kTailBytes);
  return n > 0;
}

class RunningHook {
 public:
  static Result<RunningHook> start(const oci::Hook& hook, int input);

  // False when the time ran out before the hook ended.
  bool watch(std::optional<Clock::time_point> end) {
    std::array<pollfd, 3> entries{
        {{pidfd_.get(), POLLIN, 0}, {out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}}};
    for (;;) {
      int timeout_ms = -1;
      if (end) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(*end - Clock::now());
        timeout_ms = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1'000'000'000));
      }
      const int ready = ::poll(entries.data(), entries.size(), timeout_ms);
      if (end && Clock::now() >= *end) return false;
      if (ready <= 0) continue;
      if (entries[1].revents != 0 && !read_some(out_.get(), out_text_)) entries[1].fd = -1;
      if (entries[2].revents != 0 && !read_some(err_.get(), err_text_)) entries[2].fd = -1;
      if (entries[0].revents != 0) return true;
    }
  }

  // Waits for the process itself; what it left behind may hold the streams open.
  int finish() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
    (void)read_some(out_.get(), out_text_);
    (void)read_some(err_.get(), err_text_);
    return status;
  }
  void kill() const { ::kill(-pid_, SIGKILL); }

  [[nodiscard]] std::string streams() const {
    return fmt::format("stdout: {}, stderr: {}", text_of(out_text_), text_of(err_text_));
  }

 private:
  pid_t pid_ = 0;
  UniqueFd pidfd_;
  UniqueFd out_;
  UniqueFd err_;
  std::string out_text_;
  std::string err_text_;
};

Result<RunningHook> RunningHook::start(const oci::Hook& hook, int input) {
  auto out = TRY(sys::pipe());
  auto err = TRY(sys::pipe());
  auto failure = TRY(sys::pipe());
  Ends ends{std::move(out.second), std::move(err.second), std::move(failure.second)};
  RunningHook running;
  running.out_ = std::move(out.first);
  running.err_ = std::move(err.first);
  ::fcntl(running.out_.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(running.err_.get(), F_SETFL, O_NONBLOCK);
  running.pid_ = ::fork();
  if (running.pid_ < 0) return fail_errno(errno, "fork");
  if (running.pid_ == 0) be_the_hook(hook, input, ends);
  ends = {};
  int errnum = 0;
  ssize_t told = -1;
  do {
    told = ::read(failure.first.get(), &errnum, sizeof errnum);
  } while (told < 0 && errno == EINTR);
  if (told == sizeof errnum) {
    (void)running.finish();
    return fail(kind_of_errno(errnum),
                fmt::format("fork/exec {}: {}", hook.path, reason_of(errnum)));
  }
  auto pidfd = sys::pidfd_open(running.pid_);
  if (!pidfd) {
    running.kill();
    (void)running.finish();
    return std::unexpected(std::move(pidfd).error());
  }
  running.pidfd_ = std::move(*pidfd);
  return running;
}

Result<void> run_hook(const oci::Hook& hook, int state_fd) {
  std::optional<Clock::time_point> end;
  if (hook.timeout_s) end = Clock::now() + std::chrono::seconds(*hook.timeout_s);
  auto running = TRY(RunningHook::start(hook, state_fd));
  const bool in_time = running.watch(end);
  if (!in_time) running.kill();
  const int status = running.finish();
  if (!in_time) {
    return fail(ErrorKind::unavailable, fmt::format("hook ran past specified timeout of {} s, {}",
                                                    *hook.timeout_s, running.streams()));
  }
  if (status == 0) return {};
  return fail(ErrorKind::unavailable,
              fmt::format("{}, {}", go_wait_status(status), running.streams()));
}

}  // namespace

Result<void> run_start_hooks(std::span<const oci::Hook> hooks, int state_fd) {
  for (std::size_t i = 0; i < hooks.size(); ++i) {
    TRY(run_hook(hooks[i], state_fd), "error running startContainer hook #{}", i);
  }
  return {};
}

}  // namespace agentvm::guest
