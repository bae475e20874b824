// What a container wants of a disk of its own, from its specification and its root.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "oci/base/error.h"
#include "oci/spec.h"
#include "runtime/config.h"
#include "runtime/guest_spec.h"

namespace agentvm::runtime {

// "true": the container has a Docker of its own, started by the agent with the first connection to
// its socket. "false": it has none, and no disk for one, whatever else it asks for.
inline constexpr const char* kDockerAnnotation = "io.agentvm.docker";
// "shared", the default: the root is the host's. "overlay": what the container writes to its root
// goes to the disk.
inline constexpr const char* kRootAnnotation = "io.agentvm.rootfs";
// The disk's size; fixed once there is one.
inline constexpr const char* kDiskSizeAnnotation = "io.agentvm.disk_mib";

// A bundle may carry these two anywhere: they give it nothing that is the host's but the space that
// its root could take as well.
[[nodiscard]] bool is_free_annotation(std::string_view name);

// Where the guest has the disk, and the directories that every image comes with: "docker" and
// "containerd" (0710), "upper" and "work" (0755).
inline constexpr const char* kGuestDisk = "/run/agentvm/disk";
// The container's root with kRootAnnotation "overlay".
inline constexpr const char* kGuestRoot = "/run/agentvm/root";

inline constexpr std::uint64_t kMinDiskMib = 64;
inline constexpr std::uint64_t kMaxDiskMib = std::uint64_t{15}
                                             << 20;  // ext4's largest file on ext4

struct DiskPlan {
  std::uint64_t size_mib = 0;
  // The host's directory of a volume in which the image is to live; "": with the container.
  std::string volume;
  bool holds_root = false;
  // The agent starts the container's dockerd, which takes privileges that the engine did not give:
  // no seccomp filter among them.
  bool docker = false;
  friend bool operator==(const DiskPlan&, const DiskPlan&) = default;
};

// Looks at the container's root and at volumes; changes what `share` shows the guest and tells it:
// kernel modules for a container that may use some, the disk's directories in place of
// /var/lib/docker and /var/lib/containerd, the privileges that a Docker needs inside the VM.
// Nothing: no disk. invalid_argument for values that do not parse, failed_precondition for an image
// without the dockerd that is asked for.
[[nodiscard]] Result<std::optional<DiskPlan>> plan_disk(const oci::Spec& spec, const Config& config,
                                                        SharePlan& share);

}  // namespace agentvm::runtime
