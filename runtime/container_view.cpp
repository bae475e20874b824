#include "runtime/container_view.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>

#include <cerrno>

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

// A copy of a mount with what lies below it; what is mounted on the copy shows up nowhere else.
Result<UniqueFd> copy_mounts(const std::string& path) {
  UniqueFd tree(::open_tree(AT_FDCWD, path.c_str(),
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | unsigned{AT_RECURSIVE}));
  if (!tree) return fail_errno(errno, fmt::format("copy the mount '{}'", path));
  struct mount_attr attributes{};
  attributes.propagation = MS_PRIVATE;
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                      sizeof attributes) != 0) {
    return fail_errno(errno, fmt::format("make the copy of '{}' private", path));
  }
  return tree;
}

// The place is the container's to choose and to change: looked up beneath its root.
Result<void> show_bind(int root, const std::string& source, const std::string& destination) {
  const auto place = TRY(sys::open_in_root(root, destination, O_PATH));
  const auto tree = TRY(copy_mounts(source));
  if (::move_mount(tree.get(), "", place.get(), "",
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
    return fail_errno(errno, "mount");
  }
  return {};
}

}  // namespace

Result<void> show_container(const SharePlan& share, const std::string& shared_dir,
                            const std::string& guest_directory) {
  const auto root = TRY(copy_mounts(shared_dir + "/" + share.sources.front().name));
  if (::move_mount(root.get(), "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return fail_errno(errno, "lay the container's root over the host's");
  }
  const std::string below = guest_directory + "/";
  for (const oci::Mount& mount : share.guest_spec.mounts) {
    if (!mount.source.starts_with(below)) continue;
    const std::string source = shared_dir + "/" + mount.source.substr(below.size());
    // Below a mount that only the guest has, there is no place for it here.
    if (auto shown = show_bind(root.get(), source, mount.destination); !shown) {
      log::debug("'{}' is not seen by who joins the stand-in's mount namespace: {}",
                 mount.destination, shown.error().text());
    }
  }
  return {};
}

}  // namespace agentvm::runtime
