// What a container's root is assembled from, opened with the guest's own eyes and rights before the
// child gives these up: detached trees of root.path and of every bind mount's source, and a tmpfs
// of device nodes. Made by the child itself; by the agent when the container has a user namespace,
// in which the child could neither reach the sources nor make nodes.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"
#include "oci/spec.h"

namespace agentvm::guest {

// A node of the specification, the default ones included.
struct DeviceNode {
  std::string path;  // in the container
  mode_t mode = 0;   // type and permission
  dev_t number = 0;
  uid_t uid = 0;  // in the container
  gid_t gid = 0;
};
// runc's default nodes first, those that the specification has itself left out.
[[nodiscard]] Result<std::vector<DeviceNode>> device_nodes(const oci::Spec& spec);

struct Sources {
  UniqueFd root;
  // As Spec::mounts: the tree to attach, empty for a file system that the child makes itself.
  std::vector<UniqueFd> mounts;
  // A detached tmpfs with the file `null` and one per device node, named by its index.
  UniqueFd nodes;
};

[[nodiscard]] Result<Sources> open_sources(const oci::Spec& spec, const std::string& cgroup,
                                           const std::vector<DeviceNode>& nodes);

[[nodiscard]] bool has_namespace(const oci::Spec& spec, oci::NamespaceType type);
[[nodiscard]] bool is_bind(const oci::Mount& mount);

// The id outside that `id` inside a user namespace stands for; `id` itself without one. Error when
// the mappings do not have it.
[[nodiscard]] Result<std::uint32_t> outside_id(const std::vector<oci::IdMapping>& mappings,
                                               std::uint32_t id);

}  // namespace agentvm::guest
