// Nodes and links below /dev (config-linux.md, "Devices", "Default Devices").
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "guest-agent/launch/in_root.h"
#include "guest-agent/launch/mount_fd.h"
#include "guest-agent/launch/rootfs.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

// As runc: who binds a /dev brings everything in it along.
bool brings_own_dev(const oci::Spec& spec) {
  return std::ranges::any_of(spec.mounts, [](const oci::Mount& mount) {
    return is_bind(mount) && clean_path(mount.destination) == "/dev";
  });
}

// Nodes are made only on a tmpfs: the root is the host's directory, where a node would stay, and
// in a user namespace none can be made at all. Elsewhere the guest's own node is bound.
bool can_make_nodes(const Rootfs& rootfs, const NewName& at) {
  return !has_namespace(rootfs.spec, oci::NamespaceType::user) &&
         filesystem_magic(at.parent.get()) == TMPFS_MAGIC;
}

Result<void> make_node(const NewName& at, const DeviceNode& node) {
  const char* name = at.name.c_str();
  if (::mknodat(at.parent.get(), name, node.mode, node.number) != 0) {
    if (errno == EEXIST) return {};  // a mount of the specification; runc leaves it alone too
    return fail_errno(errno, "mknod");
  }
  if (::fchownat(at.parent.get(), name, node.uid, node.gid, AT_SYMLINK_NOFOLLOW) != 0 ||
      ::fchmodat(at.parent.get(), name, node.mode & 07777, 0) != 0) {
    return fail_errno(errno, "owner and mode");
  }
  return {};
}

Result<void> bind_node(const Rootfs& rootfs, const DeviceNode& node, std::size_t index) {
  auto tree = TRY(clone_tree(rootfs.scratch.get(), fmt::to_string(index), false));
  return attach_file(tree.get(), rootfs.root.get(), node.path);
}

struct Link {
  const char* path;
  const char* target;
};
constexpr std::array kLinks = std::to_array<Link>({
    {"/dev/fd", "/proc/self/fd"},
    {"/dev/stdin", "/proc/self/fd/0"},
    {"/dev/stdout", "/proc/self/fd/1"},
    {"/dev/stderr", "/proc/self/fd/2"},
});

Result<void> make_link(int root, const Link& link, bool replace) {
  auto at = TRY(make_parent(root, link.path));
  if (replace) ::unlinkat(at.parent.get(), at.name.c_str(), 0);
  if (::symlinkat(link.target, at.parent.get(), at.name.c_str()) != 0 && errno != EEXIST) {
    return fail_errno(errno, fmt::format("link '{}'", link.path));
  }
  return {};
}

}  // namespace

Result<void> make_devices(Rootfs& rootfs) {
  if (brings_own_dev(rootfs.spec)) return {};
  for (std::size_t i = 0; i < rootfs.nodes.size(); ++i) {
    const DeviceNode& node = rootfs.nodes[i];
    auto at = TRY(make_parent(rootfs.root.get(), node.path), "device '{}'", node.path);
    TRY(can_make_nodes(rootfs, at) ? make_node(at, node) : bind_node(rootfs, node, i),
        "device '{}'", node.path);
  }
  return {};
}

Result<void> make_device_links(Rootfs& rootfs) {
  if (brings_own_dev(rootfs.spec)) return {};
  const int root = rootfs.root.get();
  for (const Link& link : kLinks) TRY(make_link(root, link, false));
  if (sys::open_in_root(root, "/proc/kcore", O_PATH | O_NOFOLLOW)) {
    TRY(make_link(root, {"/dev/core", "/proc/kcore"}, false));
  }
  // The container's own devpts instance, whatever the image has there.
  return make_link(root, {"/dev/ptmx", "pts/ptmx"}, true);
}

}  // namespace agentvm::guest
