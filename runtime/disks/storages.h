// What the agent mounts of a container's disk.
#pragma once

#include "rpc/agent.pb.h"
#include "runtime/disks/plan.h"

namespace agentvm::runtime {

// After the container's share, which the root's overlay lies on.
void add_disk(agent::v1::CreateContainerRequest& request, const DiskPlan& plan);

}  // namespace agentvm::runtime
