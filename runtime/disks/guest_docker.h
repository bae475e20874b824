// A container with a Docker of its own.
#pragma once

#include <string>

#include "oci/base/error.h"
#include "oci/spec.h"

namespace agentvm::runtime {

// Where the container has its dockerd, by its PATH, as the container sees it; "" when it has none.
// `rootfs` is a path of the host.
[[nodiscard]] Result<std::string> find_dockerd(const std::string& rootfs, const oci::Spec& spec);

// Whether the engine gave the container everything (`docker run --privileged`).
[[nodiscard]] bool is_privileged(const oci::Spec& spec);
// Whether it may make the kernel load modules: it has CAP_NET_ADMIN or CAP_SYS_ADMIN.
[[nodiscard]] bool may_use_modules(const oci::Spec& spec);

// Makes the guest's specification one in which dockerd can work: every capability, every device of
// the guest, its own cgroups to divide, nothing masked. Who can talk to a Docker is root beside it
// anyway; what confines the container is the VM.
void make_room_for_docker(oci::Spec& guest_spec);

}  // namespace agentvm::runtime
