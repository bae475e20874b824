// The mounts of the specification (config.md, "Mounts"), put below the new root one after another.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "guest-agent/launch/copy_up.h"
#include "guest-agent/launch/in_root.h"
#include "guest-agent/launch/mount_fd.h"
#include "guest-agent/launch/rootfs.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "oci/mount_options.h"

namespace agentvm::guest {

namespace {

using namespace std::string_view_literals;

// One mount on its way.
struct Work {
  Rootfs& rootfs;
  const oci::Mount& mount;
  UniqueFd source;  // the detached tree, when open_sources() made it
  oci::MountOptions options{};
  Place place{};
};

// In a procfs only what runc allows may be mounted on (LXCFS); anything else could make the masks
// and read-only paths that follow apply to a false /proc (CVE-2019-19921, CVE-2023-27561).
constexpr std::array kProcFiles = {"/proc/cpuinfo"sv,
                                   "/proc/diskstats"sv,
                                   "/proc/meminfo"sv,
                                   "/proc/stat"sv,
                                   "/proc/swaps"sv,
                                   "/proc/uptime"sv,
                                   "/proc/loadavg"sv,
                                   "/proc/slabinfo"sv,
                                   "/proc/net/dev"sv,
                                   "/proc/sys/kernel/ns_last_pid"sv,
                                   "/proc/sys/crypto/fips_enabled"sv};

bool is_virtual(std::string_view type) {
  constexpr std::array kTypes = {"proc"sv,    "sysfs"sv,  "tmpfs"sv, "devpts"sv,
                                 "cgroup2"sv, "mqueue"sv, "ramfs"sv};
  return std::ranges::find(kTypes, type) != kTypes.end();
}

Result<struct stat> stat_of(int fd) {
  struct stat st{};
  if (::fstat(fd, &st) != 0) return fail_errno(errno, "stat");
  return st;
}

Result<void> find_place(Work& work) {
  PlaceKind kind = PlaceKind::directory;
  if (work.source) {
    const auto st = TRY(stat_of(work.source.get()), "'{}'", work.mount.source);
    if (!S_ISDIR(st.st_mode)) kind = PlaceKind::file;
  }
  const std::string clean = clean_path(work.mount.destination);
  const int root = work.rootfs.root.get();
  const bool kernel_view = work.mount.type == "proc" || work.mount.type == "sysfs";
  if (kernel_view && !is_bind(work.mount)) {
    // runc: an image must not lead these elsewhere by a symlink.
    const auto there = sys::open_in_root(root, clean, O_PATH | O_NOFOLLOW);
    if (there && !S_ISDIR(TRY(stat_of(there->get())).st_mode)) {
      return fail(
          ErrorKind::invalid_argument,
          fmt::format("filesystem \"{}\" must be mounted on ordinary directory", work.mount.type));
    }
  }
  work.place = TRY(make_place(root, clean, kind));
  const auto st = TRY(stat_of(work.place.fd.get()));
  if ((kind == PlaceKind::directory) != S_ISDIR(st.st_mode)) {
    return fail_errno(kind == PlaceKind::file ? EISDIR : ENOTDIR, "mount");
  }
  return {};
}

Result<void> check_proc(const Work& work) {
  const std::string clean = clean_path(work.mount.destination);
  if (clean == "/proc") {
    const bool procfs = work.source ? filesystem_magic(work.source.get()) == PROC_SUPER_MAGIC
                                    : work.mount.type == "proc";
    if (procfs) return {};
    return fail(ErrorKind::invalid_argument,
                "\"/proc\" cannot be mounted because it is not of type proc");
  }
  if (filesystem_magic(work.place.fd.get()) != PROC_SUPER_MAGIC) return {};
  if (std::ranges::find(kProcFiles, clean) != kProcFiles.end()) return {};
  return fail(ErrorKind::invalid_argument,
              fmt::format("\"{}\" cannot be mounted because it is inside /proc", clean));
}

Result<UniqueFd> tmpfs_mount(Work& work) {
  Filesystem tmpfs{"tmpfs", work.mount.source, work.options.data, false, work.options.flags};
  if (work.place.existed) {
    // As runc does: it looks like the directory that it covers, unless the options say otherwise.
    const auto st = TRY(stat_of(work.place.fd.get()));
    tmpfs.data = fmt::format("mode={:04o},{}", st.st_mode & 07777, work.options.data);
  }
  auto made = TRY(new_mount(tmpfs));
  if (work.options.tmpcopyup) TRY(copy_up(work.place.fd.get(), made.get()), "copy the directory");
  return made;
}

Result<UniqueFd> make_mount(Work& work) {
  const std::string& type = work.mount.type;
  if (work.source) return std::move(work.source);
  // The guest has version 2 only, whatever the type says; the cgroup namespace makes it the
  // container's own. The type's options are for version 1.
  if (type == "cgroup" || type == "cgroup2") return new_mount({"cgroup2", "cgroup", {}, false, 0});
  if (type == "tmpfs") return tmpfs_mount(work);
  if (type.empty() || type == "none") {
    return fail(ErrorKind::invalid_argument, "neither a file system type nor a bind is given");
  }
  // A superblock of the kernel's own may be shared with the guest: only the mount is read-only.
  const bool read_only = work.options.read_only() && !is_virtual(type);
  return new_mount({type, work.mount.source, work.options.data, read_only, work.options.flags});
}

// runc: a tmpfs, and whatever is on /dev, may have places for other mounts to be made in it.
bool read_only_comes_late(const Work& work) {
  return work.options.read_only() &&
         (work.mount.type == "tmpfs" || clean_path(work.mount.destination) == "/dev");
}

Result<void> remount(Work& work) {
  const std::string clean = clean_path(work.mount.destination);
  auto mount = TRY(sys::open_in_root(work.rootfs.root.get(), clean, O_PATH));
  return set_attributes(mount.get(), attributes_of(work.options), false);
}

Result<void> do_mount(Work& work) {
  work.options = TRY(oci::parse_mount_options(work.mount.options));
  if ((work.options.flags & MS_REMOUNT) != 0) return remount(work);
  TRY(find_place(work));
  TRY(check_proc(work));
  auto made = TRY(make_mount(work));
  MountAttributes attributes = attributes_of(work.options);
  const bool late = read_only_comes_late(work);
  if (late) attributes.set &= ~static_cast<std::uint64_t>(MOUNT_ATTR_RDONLY);
  TRY(set_attributes(made.get(), attributes, false));
  TRY(set_attributes(made.get(), {work.options.recursive_set, work.options.recursive_clear}, true));
  TRY(attach(made.get(), work.place.fd.get()));
  for (const unsigned long propagation : work.options.propagation) {
    TRY(set_propagation(made.get(), propagation));
  }
  if (late) work.rootfs.late_read_only.push_back(std::move(made));
  return {};
}

}  // namespace

Result<void> mount_all(Rootfs& rootfs) {
  for (std::size_t i = 0; i < rootfs.spec.mounts.size(); ++i) {
    const oci::Mount& mount = rootfs.spec.mounts[i];
    Work work{rootfs, mount, std::move(rootfs.sources.mounts[i])};
    TRY(do_mount(work), "mount '{}' ({}) on '{}'", mount.source, mount.type, mount.destination);
  }
  return {};
}

}  // namespace agentvm::guest
