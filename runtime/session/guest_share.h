// The storages by which a guest sees what the host shares with one container.
#pragma once

#include <string>

#include "rpc/agent.pb.h"

namespace agentvm::runtime {

// Mounts at kGuestShared: the VM's share itself or, of a VM that was started before its container
// was known, the directory `below` it.
void add_share(agent::v1::CreateContainerRequest& request, const std::string& below = "");

}  // namespace agentvm::runtime
