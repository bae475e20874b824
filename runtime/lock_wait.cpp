#include "runtime/lock_wait.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "oci/base/try.h"
#include "oci/base/unique_fd.h"

namespace agentvm::runtime {

namespace {

using Clock = std::chrono::steady_clock;

// flock(2) knows no deadline, but its holders close the file afterwards, which inotify(7) sees. The
// kernel tells of the close of a killed holder just before it drops the lock, and of none when a
// child still has the file open: hence a look at least this often as well.
constexpr std::chrono::milliseconds kLookAgain{50};

Result<std::optional<std::size_t>> try_locks(std::span<const int> fds) {
  for (std::size_t i = 0; i < fds.size();) {
    if (::flock(fds[i], LOCK_EX | LOCK_NB) == 0) return i;
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return fail_errno(errno, "flock");
    ++i;
  }
  return std::nullopt;
}

Result<UniqueFd> watch(std::span<const int> fds) {
  UniqueFd inotify(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify) return fail_errno(errno, "inotify");
  for (const int fd : fds) {
    const std::string path = fmt::format("/proc/self/fd/{}", fd);
    if (::inotify_add_watch(inotify.get(), path.c_str(), IN_CLOSE) < 0) {
      return fail_errno(errno, "watch the lock");
    }
  }
  return inotify;
}

void drain(int inotify) {
  std::array<char, 4096> events;
  while (::read(inotify, events.data(), events.size()) > 0) {
  }
}

}  // namespace

Result<std::size_t> wait_for_one_lock(std::span<const int> fds,
                                      std::chrono::milliseconds deadline) {
  if (const auto locked = TRY(try_locks(fds))) return *locked;
  const UniqueFd inotify = TRY(watch(fds));
  const auto end = Clock::now() + deadline;
  for (;;) {
    if (const auto locked = TRY(try_locks(fds))) return *locked;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
    if (left.count() <= 0) {
      return fail(ErrorKind::unavailable,
                  fmt::format("another command still holds it after {} ms", deadline.count()));
    }
    pollfd entry{inotify.get(), POLLIN, 0};
    static_cast<void>(::poll(&entry, 1, static_cast<int>(std::min(left, kLookAgain).count())));
    drain(inotify.get());
  }
}

Result<void> wait_for_lock(int fd, std::chrono::milliseconds deadline) {
  TRY(wait_for_one_lock({&fd, 1}, deadline));
  return {};
}

}  // namespace agentvm::runtime
