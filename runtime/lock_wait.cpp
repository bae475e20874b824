#include "runtime/lock_wait.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "oci/base/unique_fd.h"

namespace agentvm::runtime {

namespace {

using Clock = std::chrono::steady_clock;

// flock(2) knows no deadline, but its holders close the file afterwards, which inotify(7) sees. The
// kernel tells of the close of a killed holder just before it drops the lock, and of none when a
// child still has the file open: hence a look at least this often as well.
constexpr std::chrono::milliseconds kLookAgain{50};

Result<bool> try_lock(int fd) {
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) return false;
    return fail_errno(errno, "flock");
  }
  return true;
}

void drain(int inotify) {
  std::array<char, 4096> events;
  while (::read(inotify, events.data(), events.size()) > 0) {
  }
}

}  // namespace

Result<void> wait_for_lock(int fd, std::chrono::milliseconds deadline) {
  if (auto locked = try_lock(fd); !locked || *locked) {
    return locked ? Result<void>{} : std::unexpected(std::move(locked).error());
  }
  const UniqueFd inotify(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify) return fail_errno(errno, "inotify");
  const std::string path = fmt::format("/proc/self/fd/{}", fd);
  if (::inotify_add_watch(inotify.get(), path.c_str(), IN_CLOSE) < 0) {
    return fail_errno(errno, "watch the lock");
  }
  const auto end = Clock::now() + deadline;
  for (;;) {
    auto locked = try_lock(fd);
    if (!locked) return std::unexpected(std::move(locked).error());
    if (*locked) return {};
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

}  // namespace agentvm::runtime
