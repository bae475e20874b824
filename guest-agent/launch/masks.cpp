// linux.maskedPaths and linux.readonlyPaths (config-linux.md).
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "guest-agent/launch/in_root.h"
#include "guest-agent/launch/mount_fd.h"
#include "guest-agent/launch/rootfs.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

// A mask on a /proc that only looks like one protects nothing (CVE-2023-27561).
Result<void> check_proc(const Rootfs& rootfs) {
  const bool mounted = std::ranges::any_of(rootfs.spec.mounts, [](const oci::Mount& mount) {
    return mount.type == "proc" && clean_path(mount.destination) == "/proc";
  });
  if (!mounted) return {};
  auto proc = TRY(sys::open_in_root(rootfs.root.get(), "/proc", O_PATH | O_NOFOLLOW));
  if (filesystem_magic(proc.get()) == PROC_SUPER_MAGIC) return {};
  return fail(ErrorKind::invalid_argument, "'/proc' is not a procfs after all mounts are made");
}

// Nothing to do for what is not there: no fd.
Result<UniqueFd> open_if_there(const Rootfs& rootfs, const std::string& path) {
  auto fd = sys::open_in_root(rootfs.root.get(), path, O_PATH);
  if (!fd && (fd.error().errnum == ENOENT || fd.error().errnum == ENOTDIR)) return UniqueFd();
  return fd;
}

Result<void> mask_path(const Rootfs& rootfs, const std::string& path) {
  auto place = TRY(open_if_there(rootfs, path));
  if (!place) return {};
  struct stat st{};
  if (::fstat(place.get(), &st) != 0) return fail_errno(errno, "stat");
  UniqueFd mask;
  if (S_ISDIR(st.st_mode)) {
    mask = TRY(new_mount({"tmpfs", "tmpfs", "nr_blocks=1,nr_inodes=1,mode=0755", false, 0}));
    TRY(set_attributes(mask.get(), {MOUNT_ATTR_RDONLY, 0}, false));
  } else {
    // The guest's null, never the container's /dev/null, which the image may have replaced
    // (CVE-2025-31133).
    mask = TRY(clone_tree(rootfs.scratch.get(), "null", false));
  }
  return attach(mask.get(), place.get());
}

Result<void> make_path_read_only(const Rootfs& rootfs, const std::string& path) {
  auto place = TRY(open_if_there(rootfs, path));
  if (!place) return {};
  auto copy = TRY(clone_tree(place.get(), "", true));
  TRY(set_attributes(copy.get(), {MOUNT_ATTR_RDONLY, 0}, true));
  return attach(copy.get(), place.get());
}

}  // namespace

Result<void> mask_paths(Rootfs& rootfs) {
  TRY(check_proc(rootfs));
  for (const std::string& path : rootfs.spec.linux_->masked_paths) {
    TRY(mask_path(rootfs, path), "mask '{}'", path);
  }
  return {};
}

Result<void> make_paths_read_only(Rootfs& rootfs) {
  for (const std::string& path : rootfs.spec.linux_->readonly_paths) {
    TRY(make_path_read_only(rootfs, path), "make '{}' read-only", path);
  }
  return {};
}

}  // namespace agentvm::guest
