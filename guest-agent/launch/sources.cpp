#include "guest-agent/launch/sources.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "guest-agent/launch/id_mapped.h"
#include "guest-agent/launch/in_root.h"
#include "guest-agent/launch/mount_fd.h"
#include "oci/base/try.h"
#include "oci/mount_options.h"

namespace agentvm::guest {

namespace {

constexpr mode_t kDefaultMode = 0666;

struct DefaultNode {
  const char* path;
  unsigned major;
  unsigned minor;
};
constexpr std::array kDefaultNodes = std::to_array<DefaultNode>({
    {"/dev/null", 1, 3},
    {"/dev/zero", 1, 5},
    {"/dev/full", 1, 7},
    {"/dev/random", 1, 8},
    {"/dev/urandom", 1, 9},
    {"/dev/tty", 5, 0},
});

mode_t type_bits(const std::string& type) {
  if (type == "b") return S_IFBLK;
  if (type == "p") return S_IFIFO;
  return S_IFCHR;  // "c" and "u", which is its old name
}

Result<void> make_node(int directory, const std::string& name, const DeviceNode& node) {
  if (::mknodat(directory, name.c_str(), node.mode, node.number) != 0 ||
      ::fchownat(directory, name.c_str(), node.uid, node.gid, AT_SYMLINK_NOFOLLOW) != 0 ||
      ::fchmodat(directory, name.c_str(), node.mode & 07777, 0) != 0) {
    return fail_errno(errno, fmt::format("make device node '{}'", node.path));
  }
  return {};
}

Result<UniqueFd> make_nodes(const oci::Spec& spec, const std::vector<DeviceNode>& nodes) {
  Filesystem tmpfs{"tmpfs", "devices", "mode=0755", false, 0};
  auto scratch = TRY(new_mount(tmpfs));
  const oci::Linux& maps = *spec.linux_;
  DeviceNode null{"/dev/null", S_IFCHR | kDefaultMode, ::makedev(1, 3), 0, 0};
  TRY(make_node(scratch.get(), "null", null));
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    DeviceNode node = nodes[i];
    node.uid = TRY(outside_id(maps.uid_mappings, node.uid), "device '{}'", node.path);
    node.gid = TRY(outside_id(maps.gid_mappings, node.gid), "device '{}'", node.path);
    TRY(make_node(scratch.get(), fmt::to_string(i), node));
  }
  return scratch;
}

bool is_cgroup(const oci::Mount& mount) {
  return mount.type == "cgroup" || mount.type == "cgroup2";
}

// The tree that `mount` is a view of; empty for a file system that the child can make itself.
Result<UniqueFd> open_tree_of(const oci::Spec& spec, const std::string& cgroup,
                              const oci::Mount& mount) {
  if (is_bind(mount)) {
    const auto options = TRY(oci::parse_mount_options(mount.options));
    auto tree = TRY(clone_tree(AT_FDCWD, mount.source, options.recursive_bind()));
    if (options.idmap) TRY(map_ids(tree.get(), spec, mount, options.recursive_idmap));
    return tree;
  }
  // Without a cgroup namespace a cgroup2 would show the guest's whole tree.
  if (is_cgroup(mount) && !has_namespace(spec, oci::NamespaceType::cgroup)) {
    return clone_tree(AT_FDCWD, cgroup, false);
  }
  // A sysfs in a user namespace needs a network namespace of that user namespace, which containers
  // here do not have (launch/README.md): the guest's is bound instead.
  if (mount.type == "sysfs" && has_namespace(spec, oci::NamespaceType::user)) {
    return clone_tree(AT_FDCWD, "/sys", false);
  }
  return UniqueFd();
}

}  // namespace

bool has_namespace(const oci::Spec& spec, oci::NamespaceType type) {
  return spec.linux_ && std::ranges::any_of(spec.linux_->namespaces,
                                            [type](const auto& ns) { return ns.type == type; });
}

bool is_bind(const oci::Mount& mount) {
  if (mount.type == "bind") return true;
  return std::ranges::any_of(mount.options, [](const std::string& option) {
    return option == "bind" || option == "rbind";
  });
}

Result<std::uint32_t> outside_id(const std::vector<oci::IdMapping>& mappings, std::uint32_t id) {
  if (mappings.empty()) return id;
  for (const oci::IdMapping& mapping : mappings) {
    if (id >= mapping.container_id && id - mapping.container_id < mapping.size) {
      return mapping.host_id + (id - mapping.container_id);
    }
  }
  return fail(ErrorKind::invalid_argument,
              fmt::format("id {} is in none of the user namespace's mappings", id));
}

Result<std::vector<DeviceNode>> device_nodes(const oci::Spec& spec) {
  std::vector<DeviceNode> nodes;
  const auto& given = spec.linux_->devices;
  const auto in_spec = [&](std::string_view path) {
    return std::ranges::any_of(
        given, [path](const oci::Device& device) { return clean_path(device.path) == path; });
  };
  for (const auto& [path, major, minor] : kDefaultNodes) {
    if (!in_spec(path)) {
      nodes.push_back({path, S_IFCHR | kDefaultMode, ::makedev(major, minor), 0, 0});
    }
  }
  for (const oci::Device& device : given) {
    const mode_t permission = device.file_mode ? *device.file_mode & 07777 : kDefaultMode;
    DeviceNode node;
    node.path = clean_path(device.path);
    node.mode = type_bits(device.type) | permission;
    node.number =
        ::makedev(static_cast<unsigned>(device.major), static_cast<unsigned>(device.minor));
    node.uid = device.uid.value_or(0);
    node.gid = device.gid.value_or(0);
    nodes.push_back(std::move(node));
  }
  return nodes;
}

Result<Sources> open_sources(const oci::Spec& spec, const std::string& cgroup,
                             const std::vector<DeviceNode>& nodes) {
  Sources sources;
  sources.root = TRY(clone_tree(AT_FDCWD, spec.root->path, true), "container's root");
  TRY(set_propagation(sources.root.get(), MS_SLAVE | MS_REC));
  for (const oci::Mount& mount : spec.mounts) {
    auto tree = TRY(open_tree_of(spec, cgroup, mount), "mount '{}' on '{}'", mount.source,
                    mount.destination);
    if (tree) TRY(set_propagation(tree.get(), MS_SLAVE | MS_REC));
    sources.mounts.push_back(std::move(tree));
  }
  sources.nodes = TRY(make_nodes(spec, nodes), "device nodes");
  return sources;
}

}  // namespace agentvm::guest
