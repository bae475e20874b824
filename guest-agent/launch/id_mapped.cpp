#include "guest-agent/launch/id_mapped.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string_view>
#include <utility>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

// Who makes the mounts is in the container's pid namespace, and /proc still is the guest's: the
// number that a process has there stands in the description of its pidfd (proc(5)).
Result<pid_t> pid_in_proc(int pidfd) {
  constexpr std::string_view kName = "\nPid:\t";
  const std::string info = TRY(sys::read_file(fmt::format("/proc/self/fdinfo/{}", pidfd), 4096));
  const std::size_t at = info.find(kName);
  pid_t pid = 0;
  if (at != std::string::npos) {
    const char* begin = info.data() + at + kName.size();
    (void)std::from_chars(begin, info.data() + info.size(), pid);
  }
  if (pid <= 0) return fail(ErrorKind::internal, "/proc does not know the process");
  return pid;
}

// A user namespace needs a process for as long as its maps are being written. This one has no exit
// signal: the agent's waitpid(-1) does not see it, only a wait for it by name.
class Holder {
 public:
  static Result<Holder> create() {
    auto [reading, writing] = TRY(sys::pipe());
    int pidfd = -1;
    clone_args args{};
    args.flags = CLONE_NEWUSER | CLONE_CLEAR_SIGHAND | CLONE_PIDFD;
    args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
    const long pid = ::syscall(SYS_clone3, &args, sizeof args);
    if (pid < 0) return fail_errno(errno, "make a user namespace");
    if (pid == 0) {
      ::close(writing.get());
      char byte = 0;
      (void)!::read(reading.get(), &byte, 1);
      ::_exit(0);
    }
    Holder holder(static_cast<pid_t>(pid), std::move(writing));
    const UniqueFd process(pidfd);
    holder.pid_in_proc_ = TRY(pid_in_proc(process.get()));
    return holder;
  }
  Holder(Holder&& other) noexcept
      : pid_(std::exchange(other.pid_, 0)),
        pid_in_proc_(other.pid_in_proc_),
        alive_(std::move(other.alive_)) {}
  Holder& operator=(Holder&&) = delete;
  ~Holder() {
    alive_.reset();
    if (pid_ > 0) {
      while (::waitpid(pid_, nullptr, __WALL) < 0 && errno == EINTR) continue;
    }
  }
  // As /proc names it.
  [[nodiscard]] pid_t pid() const { return pid_in_proc_; }

 private:
  Holder(pid_t pid, UniqueFd alive) : pid_(pid), alive_(std::move(alive)) {}
  pid_t pid_;
  pid_t pid_in_proc_ = 0;
  UniqueFd alive_;  // its end is the holder's
};

}  // namespace

std::string id_map_text(const std::vector<oci::IdMapping>& mappings) {
  std::string text;
  for (const oci::IdMapping& mapping : mappings) {
    text += fmt::format("{} {} {}\n", mapping.container_id, mapping.host_id, mapping.size);
  }
  return text;
}

Result<void> write_id_maps(pid_t pid, const std::vector<oci::IdMapping>& uids,
                           const std::vector<oci::IdMapping>& gids) {
  if (uids.empty() || gids.empty()) {
    return fail(ErrorKind::invalid_argument, "a user namespace needs uidMappings and gidMappings");
  }
  TRY(sys::write_file(fmt::format("/proc/{}/uid_map", pid), id_map_text(uids)), "uidMappings");
  TRY(sys::write_file(fmt::format("/proc/{}/gid_map", pid), id_map_text(gids)), "gidMappings");
  return {};
}

Result<void> map_ids(int mount_fd, const oci::Spec& spec, const oci::Mount& mount, bool recursive) {
  const bool own = !mount.uid_mappings.empty() || !mount.gid_mappings.empty();
  const auto& uids = own ? mount.uid_mappings : spec.linux_->uid_mappings;
  const auto& gids = own ? mount.gid_mappings : spec.linux_->gid_mappings;
  auto holder = TRY(Holder::create());
  TRY(write_id_maps(holder.pid(), uids, gids));
  auto space = TRY(sys::open_at(AT_FDCWD, fmt::format("/proc/{}/ns/user", holder.pid()), O_RDONLY));
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_IDMAP;
  attr.userns_fd = static_cast<std::uint64_t>(space.get());
  const unsigned flags = recursive ? AT_EMPTY_PATH | AT_RECURSIVE : AT_EMPTY_PATH;
  if (::mount_setattr(mount_fd, "", flags, &attr, sizeof attr) != 0) {
    return fail_errno(errno, "map the mount's ids (not every file system can)");
  }
  return {};
}

}  // namespace agentvm::guest
