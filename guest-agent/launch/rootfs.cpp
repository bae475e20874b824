#include "guest-agent/launch/rootfs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "guest-agent/launch/mount_fd.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "oci/mount_options.h"

namespace agentvm::guest {

Result<void> isolate_mounts() {
  if (::mount("", "/", nullptr, MS_SLAVE | MS_REC, nullptr) != 0) {
    return fail_errno(errno, "make '/' a slave");
  }
  return {};
}

Result<void> attach_root(Rootfs& rootfs) {
  auto old_root = TRY(sys::open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
  // The nodes' tmpfs goes in between: reachable for bind mounts, gone with the old root.
  TRY(attach(rootfs.sources.nodes.get(), old_root.get()));
  rootfs.scratch = std::move(rootfs.sources.nodes);
  TRY(attach(rootfs.sources.root.get(), old_root.get()));
  rootfs.root = std::move(rootfs.sources.root);
  return {};
}

// The mount at the end of `path`, the one on top where several lie on each other.
Result<std::uint64_t> mount_at(const char* path) {
  struct statx status {};
  if (::statx(AT_FDCWD, path, 0, STATX_MNT_ID, &status) != 0) {
    return fail_errno(errno, fmt::format("statx '{}'", path));
  }
  return status.stx_mnt_id;
}

// Takes away what lies on the new root after pivot_root(".", "."): the guest's root, and what was
// mounted on that. "/.." is where it shows: in the root it leads to the root itself, or onto what
// covers it. Whatever stayed would be what a process that joins this mount namespace gets as root.
Result<void> uncover_root() {
  constexpr int kMostLayers = 8;
  const std::uint64_t root = TRY(mount_at("/"));
  for (int layer = 0; layer < kMostLayers; ++layer) {
    const std::uint64_t top = TRY(mount_at("/.."));
    if (top == root) return {};
    if (::umount2("/..", MNT_DETACH) != 0) return fail_errno(errno, "unmount the guest's root");
  }
  return fail(ErrorKind::internal, "the guest's root still covers the container's");
}

Result<void> enter_root(Rootfs& rootfs) {
  if (::fchdir(rootfs.root.get()) != 0) return fail_errno(errno, "enter the new root");
  // pivot_root(2), "pivot_root(".", ".")": the old root ends up stacked on the new one.
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return fail_errno(errno, "pivot_root");
  if (::chdir("/") != 0) return fail_errno(errno, "enter the new root");
  TRY(uncover_root());
  rootfs.scratch.reset();
  return {};
}

Result<void> finish_root(Rootfs& rootfs) {
  const MountAttributes read_only{MOUNT_ATTR_RDONLY, 0};
  for (const UniqueFd& mount : rootfs.late_read_only) {
    TRY(set_attributes(mount.get(), read_only, false));
  }
  rootfs.late_read_only.clear();
  if (rootfs.spec.root->readonly) {
    TRY(set_attributes(rootfs.root.get(), read_only, false), "make the root read-only");
  }
  const std::string& propagation = rootfs.spec.linux_->rootfs_propagation;
  if (!propagation.empty()) {
    const auto options = TRY(oci::parse_mount_options(std::array{propagation}));
    for (const unsigned long flags : options.propagation) {
      TRY(set_propagation(rootfs.root.get(), flags), "rootfsPropagation '{}'", propagation);
    }
  }
  rootfs.root.reset();
  return {};
}

}  // namespace agentvm::guest
