// A container's root, assembled over the guest's "/" in the child's own mount namespace and entered
// at the end. Everything is put in place through the descriptor of the new root while the old one
// still stands; nothing of the container runs meanwhile.
#pragma once

#include <string>
#include <vector>

#include "guest-agent/launch/sources.h"
#include "oci/base/error.h"
#include "oci/base/unique_fd.h"
#include "oci/spec.h"

namespace agentvm::guest {

struct Rootfs {
  const oci::Spec& spec;
  const std::vector<DeviceNode>& nodes;
  Sources sources;
  UniqueFd root{};                         // of the new root, from attach_root() on
  UniqueFd scratch{};                      // the device nodes' tmpfs, below the new root
  std::vector<UniqueFd> late_read_only{};  // mounts that become read-only last
};

// Cuts the namespace off the guest's: what is mounted here stays here.
[[nodiscard]] Result<void> isolate_mounts();
[[nodiscard]] Result<void> attach_root(Rootfs& rootfs);
// mounts.h: the specification's mounts, in order.
[[nodiscard]] Result<void> mount_all(Rootfs& rootfs);
// devices.h: nodes and links below /dev, unless the specification binds a /dev of its own.
[[nodiscard]] Result<void> make_devices(Rootfs& rootfs);
[[nodiscard]] Result<void> make_device_links(Rootfs& rootfs);
// masks.h
[[nodiscard]] Result<void> mask_paths(Rootfs& rootfs);
[[nodiscard]] Result<void> make_paths_read_only(Rootfs& rootfs);

// linux.sysctl, through a procfs of our own that no mount of the container can stand in for
// (CVE-2025-52881). With a user namespace those of the network, which is the guest's, are the
// agent's to write.
enum class SysctlKind { all, network, other };
[[nodiscard]] Result<void> write_sysctls(const oci::Spec& spec, SysctlKind kind);

// pivot_root(2); the guest's own tree is gone from the namespace afterwards.
[[nodiscard]] Result<void> enter_root(Rootfs& rootfs);
// root.readonly, the late read-only mounts, linux.rootfsPropagation.
[[nodiscard]] Result<void> finish_root(Rootfs& rootfs);

}  // namespace agentvm::guest
