#include "runtime/monitor/pod_share.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

constexpr std::size_t kNameBytes = 16;

// The same file system once more, for us alone: the one that is shared stays read-only.
Result<UniqueFd> clone_writable(const std::string& path) {
  UniqueFd tree(::open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree) return fail_errno(errno, "clone the shared directory");
  struct mount_attr attributes{};
  attributes.attr_clr = MOUNT_ATTR_RDONLY;
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) {
    return fail_errno(errno, "make a clone of the shared directory writable");
  }
  return tree;
}

}  // namespace

Result<PodShare> PodShare::open(std::string shared_dir) {
  const auto tree = TRY(clone_writable(shared_dir));
  if (::mkdirat(tree.get(), kMembersDirectory, 0755) != 0) {
    return fail_errno(errno, "make the members' directory");
  }
  auto members = TRY(sys::open_at(tree.get(), kMembersDirectory, O_RDONLY | O_DIRECTORY));
  if (::mount(nullptr, shared_dir.c_str(), nullptr, MS_SHARED, nullptr) != 0) {
    return fail_errno(errno, "have the VM see later mounts");
  }
  return PodShare(std::move(shared_dir), std::move(members));
}

std::string PodShare::path_of(std::string_view name) const {
  return fmt::format("{}/{}/{}", shared_dir_, kMembersDirectory, name);
}

Result<void> PodShare::attach(std::string_view name, int tree) const {
  if (!is_share_name(name)) {
    return fail(ErrorKind::invalid_argument, fmt::format("'{}' is no name of a share", name));
  }
  const std::string directory(name);
  if (::mkdirat(members_.get(), directory.c_str(), 0755) != 0) {
    return fail_errno(errno, "make the member's directory");
  }
  if (::move_mount(tree, "", AT_FDCWD, path_of(name).c_str(), MOVE_MOUNT_F_EMPTY_PATH) == 0) {
    return {};
  }
  auto failed = fail_errno(errno, "attach the member's share");
  (void)::unlinkat(members_.get(), directory.c_str(), AT_REMOVEDIR);
  return failed;
}

Result<void> PodShare::detach(std::string_view name) const {
  const std::string path = path_of(name);
  if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != EINVAL &&
      errno != ENOENT) {
    return fail_errno(errno, "detach the member's share");
  }
  if (::unlinkat(members_.get(), std::string(name).c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return fail_errno(errno, "remove the member's directory");
  }
  return {};
}

std::string make_share_name() {
  return hexadecimal(sys::random_bytes(kNameBytes));
}

bool is_share_name(std::string_view name) {
  return name.size() == 2 * kNameBytes &&
         name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace agentvm::runtime
