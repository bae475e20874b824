#include "guest-agent/launch/namespaces.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sched.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "guest-agent/launch/sources.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

using oci::NamespaceType;

struct NamespaceFlag {
  NamespaceType type;
  std::uint64_t flag;
  const char* file;  // below /proc/PID/ns
};

constexpr std::array kAtBirth = std::to_array<NamespaceFlag>({
    {NamespaceType::pid, CLONE_NEWPID, "pid"},
    {NamespaceType::ipc, CLONE_NEWIPC, "ipc"},
    {NamespaceType::uts, CLONE_NEWUTS, "uts"},
    {NamespaceType::user, CLONE_NEWUSER, "user"},
});

constexpr std::array kJoined = std::to_array<NamespaceFlag>({
    {NamespaceType::user, CLONE_NEWUSER, "user"},
    {NamespaceType::mount, CLONE_NEWNS, "mnt"},
    {NamespaceType::ipc, CLONE_NEWIPC, "ipc"},
    {NamespaceType::uts, CLONE_NEWUTS, "uts"},
    {NamespaceType::network, CLONE_NEWNET, "net"},
    {NamespaceType::cgroup, CLONE_NEWCGROUP, "cgroup"},
    {NamespaceType::time, CLONE_NEWTIME, "time"},
});

int unshare_flags(std::uint64_t flags) {
  return static_cast<int>(::syscall(SYS_unshare, flags));
}
int set_namespaces(int fd, std::uint64_t flags) {
  return static_cast<int>(::syscall(SYS_setns, fd, flags));
}

Result<void> enter_time_namespace(const oci::Spec& spec) {
  if (unshare_flags(CLONE_NEWTIME) != 0) return fail_errno(errno, "make a time namespace");
  for (const auto& [clock, offset] : spec.linux_->time_offsets) {
    TRY(sys::write_file("/proc/self/timens_offsets",
                        fmt::format("{} {} {}", clock, offset.secs, offset.nanosecs)),
        "timeOffsets");
  }
  auto space = TRY(sys::open_at(AT_FDCWD, "/proc/self/ns/time_for_children", O_RDONLY));
  if (set_namespaces(space.get(), CLONE_NEWTIME) != 0) {
    return fail_errno(errno, "enter the time namespace");
  }
  return {};
}

// Kernels without a kind of namespace do not have its file: nothing to join then.
Result<ino_t> namespace_id(const std::string& process, const char* file) {
  struct stat st{};
  if (::stat(fmt::format("/proc/{}/ns/{}", process, file).c_str(), &st) != 0) {
    return fail_errno(errno, fmt::format("look at the {} namespace", file));
  }
  return st.st_ino;
}

}  // namespace

std::uint64_t clone_flags(const oci::Spec& spec) {
  std::uint64_t flags = CLONE_NEWNS;
  for (const auto& [type, flag, file] : kAtBirth) {
    if (has_namespace(spec, type)) flags |= flag;
  }
  return flags;
}

Result<void> join_all(std::span<const JoinedNamespace> joined) {
  for (const JoinedNamespace& one : joined) {
    const auto row = std::ranges::find(kJoined, one.type, &NamespaceFlag::type);
    if (row == kJoined.end()) continue;  // the pid namespace
    if (set_namespaces(one.process.get(), row->flag) != 0) {
      return fail_errno(errno, fmt::format("enter the {} namespace of the pod", row->file));
    }
  }
  return {};
}

int pid_namespace_of(std::span<const JoinedNamespace> joined) {
  const auto row = std::ranges::find(joined, NamespaceType::pid, &JoinedNamespace::type);
  return row == joined.end() ? -1 : row->process.get();
}

Result<void> unshare_late(const oci::Spec& spec) {
  if (has_namespace(spec, NamespaceType::cgroup) && unshare_flags(CLONE_NEWCGROUP) != 0) {
    return fail_errno(errno, "make a cgroup namespace");
  }
  if (has_namespace(spec, NamespaceType::time)) TRY(enter_time_namespace(spec));
  return {};
}

Result<std::uint64_t> foreign_namespaces(pid_t pid) {
  std::uint64_t flags = 0;
  for (const auto& [type, flag, file] : kJoined) {
    const auto own = namespace_id("self", file);
    if (!own) continue;
    const ino_t theirs = TRY(namespace_id(fmt::to_string(pid), file), "container not running");
    if (theirs != *own) flags |= flag;
  }
  return flags;
}

Result<void> join_namespaces(int pidfd, std::uint64_t flags) {
  if (flags != 0 && set_namespaces(pidfd, flags) != 0) {
    return fail_errno(errno, "enter the container's namespaces");
  }
  return {};
}

Result<BirthPlace> BirthPlace::enter(int pidfd) {
  auto own = TRY(sys::open_at(AT_FDCWD, "/proc/self/ns/pid", O_RDONLY));
  if (set_namespaces(pidfd, CLONE_NEWPID) != 0) {
    return fail_errno(errno, "container not running: enter its pid namespace");
  }
  return BirthPlace(own.release());
}

BirthPlace::BirthPlace(BirthPlace&& other) noexcept : own_(std::exchange(other.own_, -1)) {}

BirthPlace::~BirthPlace() {
  if (own_ < 0) return;
  // A process may always go back to its own pid namespace. Were it not so, every later child of the
  // agent would be born in the wrong container: no way to go on.
  if (set_namespaces(own_, CLONE_NEWPID) != 0) std::abort();
  ::close(own_);
}

Result<void> set_personality(const oci::Personality& wanted) {
  unsigned long domain = PER_LINUX;
  if (wanted.domain == "LINUX32") {
    domain = PER_LINUX32;
  } else if (wanted.domain != "LINUX") {
    return fail(ErrorKind::invalid_argument,
                fmt::format("personality domain '{}' is unknown", wanted.domain));
  }
  if (::personality(domain) < 0) return fail_errno(errno, "set the personality");
  return {};
}

}  // namespace agentvm::guest
