#include "guest-agent/launch/identity.h"

#include <fmt/format.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <vector>

#include "guest-agent/launch/lookup.h"

namespace agentvm::guest {

Result<void> give_stdio(const oci::User& user) {
  for (int fd = 0; fd < 3; ++fd) {
    struct stat st{};
    if (::fstat(fd, &st) != 0) return fail_errno(errno, fmt::format("stat fd {}", fd));
    const bool null = S_ISCHR(st.st_mode) && st.st_rdev == ::makedev(1, 3);
    if (null || st.st_uid == user.uid) continue;
    if (::fchown(fd, user.uid, st.st_gid) == 0) continue;
    // EINVAL: an id that the user namespace does not have.
    if (errno != EINVAL && errno != EPERM && errno != EROFS) {
      return fail_errno(errno, fmt::format("give fd {} to the user", fd));
    }
  }
  return {};
}

Result<void> become_user(const oci::User& user) {
  const std::vector<gid_t> groups(user.additional_gids.begin(), user.additional_gids.end());
  if (::setgroups(groups.size(), groups.data()) != 0) return fail_errno(errno, "set the groups");
  if (::setresgid(user.gid, user.gid, user.gid) != 0) {
    return fail_errno(errno, fmt::format("become gid {}", user.gid));
  }
  if (::setresuid(user.uid, user.uid, user.uid) != 0) {
    return fail_errno(errno, fmt::format("become uid {}", user.uid));
  }
  ::umask(user.umask.value_or(0022) & 0777);
  return {};
}

Result<void> become_root() {
  if (::setgroups(0, nullptr) != 0 || ::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0) {
    return fail_errno(errno, "become root of the user namespace");
  }
  return {};
}

Result<void> enter_cwd(const std::string& cwd) {
  if (::chdir(cwd.c_str()) == 0) return {};
  const int errnum = errno;
  Error error{kind_of_errno(errnum), 0,
              fmt::format("chdir to cwd ({}) set in config.json failed: {}", quoted(cwd),
                          reason_of(errnum))};
  // The text has the reason already; EACCES is told apart by the caller.
  if (errnum == EACCES) error.kind = ErrorKind::failed_precondition;
  return std::unexpected(std::move(error));
}

Result<void> check_cwd() {
  // Not getcwd(3), which looks for the directory by other means when the kernel says that it cannot
  // be reached.
  std::array<char, PATH_MAX> path{};
  const long size = ::syscall(SYS_getcwd, path.data(), path.size());
  if (size > 1 && path[0] == '/') return {};
  return fail(ErrorKind::failed_precondition,
              "current working directory is outside of container mount namespace root -- possible "
              "container breakout detected");
}

}  // namespace agentvm::guest
