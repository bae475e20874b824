// apply_share() and undo_share(): the shared directory as mounts.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string_view>
#include <vector>

#include "oci/base/rollback.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/guest_spec.h"
#include "runtime/mount_table.h"
#include "runtime/share_source.h"

namespace agentvm::runtime {

namespace {

Result<void> check_own_namespace(int dir, const std::string& path) {
  const bool shared = TRY(is_on_shared_mount(dir), "shared directory '{}'", path);
  if (!shared) return {};
  return fail(ErrorKind::failed_precondition,
              fmt::format("shared directory '{}': mounts made here would show up on the host; "
                          "make a mount namespace first",
                          path));
}

// Beneath the read-only root of a container, as the guest would make them, owned by the caller.
Result<void> make_mount_point(int root, const MountPoint& point) {
  if (point.directory) return sys::mkdirs_in_root(root, point.path, 0755);
  if (sys::open_in_root(root, point.path, O_PATH)) return {};
  const std::size_t slash = point.path.rfind('/');
  TRY(sys::mkdirs_in_root(root, point.path.substr(0, slash), 0755));
  TRY(sys::open_in_root(root, point.path, O_WRONLY | O_CREAT | O_NOCTTY, 0644));
  return {};
}

Result<void> make_mount_points(const SharePlan& plan, int root) {
  for (const MountPoint& point : plan.mount_points) {
    auto made = make_mount_point(root, point);
    // A root that is read-only already has them or fails in the guest, which says which.
    if (!made && made.error().errnum == EROFS) return {};
    TRY(std::move(made), "make mount point '{}' in the root of the container", point.path);
  }
  return {};
}

// The source as a mount of its own that is nowhere yet, with no more rights than planned. Made
// private or a slave before it is attached: nothing done to it later reaches the host.
Result<UniqueFd> clone_source(const SharedSource& source, int fd) {
  const unsigned recursive = source.recursive ? static_cast<unsigned>(AT_RECURSIVE) : 0U;
  UniqueFd tree(
      ::open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive));
  if (!tree) return fail_errno(errno, "clone the mount");
  struct mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID;
  if (source.read_only) attributes.attr_set |= MOUNT_ATTR_RDONLY;
  attributes.propagation = source.propagation == Propagation::private_ ? MS_PRIVATE : MS_SLAVE;
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                      sizeof attributes) != 0) {
    return fail_errno(errno, "restrict the mount");
  }
  return tree;
}

Result<void> make_target(int dir, const SharedSource& source) {
  const bool made = source.directory
                        ? ::mkdirat(dir, source.name.c_str(), 0755) == 0
                        : UniqueFd(::openat(dir, source.name.c_str(),
                                            O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644))
                                  .get() >= 0;
  if (!made) return fail_errno(errno, fmt::format("make '{}'", source.name));
  return {};
}

// A recursive bind of "/" brings /proc, /sys and /dev along: doors to the host's kernel, which
// nothing in a guest has a use for.
Result<void> drop_kernel_filesystems(const std::string& target) {
  std::vector<MountEntry> below;
  for (MountEntry& entry : TRY(read_mount_table())) {
    if (entry.mount_point.starts_with(target + "/") && is_kernel_filesystem(entry.type)) {
      below.push_back(std::move(entry));
    }
  }
  for (auto entry = below.rbegin(); entry != below.rend(); ++entry) {
    // EINVAL: it went with one that it lay on.
    if (::umount2(entry->mount_point.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 &&
        errno != EINVAL && errno != ENOENT) {
      return fail_errno(errno, fmt::format("hide '{}'", entry->mount_point));
    }
  }
  return {};
}

Result<void> share_one(const SharePlan& plan, const SharedSource& source, int dir,
                       const std::string& path) {
  const OpenedSource opened = TRY(open_share_source(source.source));
  if (opened.directory != source.directory) {
    return fail(ErrorKind::failed_precondition,
                fmt::format("mount source \"{}\" changed meanwhile", source.source));
  }
  if (&source == &plan.sources.front()) {
    // Through a descriptor that can be searched, of the same object.
    const auto root = TRY(sys::open_at(opened.fd.get(), ".", O_RDONLY | O_DIRECTORY));
    TRY(make_mount_points(plan, root.get()));
  }
  const auto tree = TRY(clone_source(source, opened.fd.get()), "share \"{}\"", source.source);
  TRY(make_target(dir, source));
  if (::move_mount(tree.get(), "", dir, source.name.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return fail_errno(errno, fmt::format("share \"{}\"", source.source));
  }
  if (source.recursive) {
    TRY(drop_kernel_filesystems(path + "/" + source.name), "share \"{}\"", source.source);
  }
  return {};
}

Result<void> mount_base(const std::string& path) {
  // Room for the mount points of as many mounts as a config.json can hold, and no more.
  constexpr const char* kOptions = "mode=0755,size=1m,nr_inodes=65536";
  if (::mount("agentvm-shared", path.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              kOptions) != 0) {
    return fail_errno(errno, fmt::format("mount the shared directory on '{}'", path));
  }
  return {};
}

Result<void> make_base_read_only(const std::string& path) {
  if (::mount(nullptr, path.c_str(), nullptr,
              MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) {
    return fail_errno(errno, "make the shared directory read-only");
  }
  return {};
}

}  // namespace

Result<void> apply_share(const SharePlan& plan, const std::string& dir) {
  {
    const auto place = TRY(sys::open_at(AT_FDCWD, dir, O_PATH | O_DIRECTORY), "shared directory");
    TRY(check_own_namespace(place.get(), dir));
  }
  TRY(mount_base(dir));
  Rollback rollback;
  rollback.push([&dir] { static_cast<void>(undo_share(dir)); });
  const auto base = TRY(sys::open_at(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY), "shared directory");
  if (::mkdirat(base.get(), "mounts", 0755) != 0) return fail_errno(errno, "make 'mounts'");
  const std::string path = TRY(path_of(base.get()));
  for (const SharedSource& source : plan.sources) {
    TRY(share_one(plan, source, base.get(), path));
  }
  TRY(make_base_read_only(dir));
  rollback.release();
  return {};
}

Result<void> undo_share(const std::string& dir) {
  // Once for each time that something is mounted there; EINVAL when nothing is any more.
  while (::umount2(dir.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
  }
  if (errno == EINVAL || errno == ENOENT) return {};
  return fail_errno(errno, fmt::format("unmount the shared directory '{}'", dir));
}

}  // namespace agentvm::runtime
