// The storages by which a guest sees what the host shares with one container.
#pragma once

#include <cstdint>
#include <string>

#include "rpc/agent.pb.h"

namespace agentvm::runtime {

// Mounts at kGuestShared: the VM's share itself or, of a VM that was started before its container
// was known, the directory `below` it.
void add_share(agent::v1::CreateContainerRequest& request, const std::string& below = "");

// Where a member of a pod finds its own share, `name` in that of the sandbox (monitor/pod_share.h).
[[nodiscard]] std::string guest_member_directory(const std::string& name);
void add_member_share(agent::v1::CreateContainerRequest& request, const std::string& name);

// The pod's /dev/shm at kGuestPodShm; 0: as large as the guest lets a tmpfs be.
void add_pod_shm(agent::v1::CreateContainerRequest& request, std::uint64_t bytes);

}  // namespace agentvm::runtime
