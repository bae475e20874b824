// The end of everything that belongs to a container, or to a VM of the pool, however far its making
// had got.
#pragma once

#include "oci/base/error.h"
#include "runtime/state_dir.h"

namespace agentvm::runtime {

// Kills the monitor, the execs' stand-ins and what the cgroup holds; removes the cgroup, the place
// in the pool if the VM came from there, and the state directory. Every step is tried; the first
// failure is returned, and the record is kept for a second attempt.
[[nodiscard]] Result<void> destroy(StateDir& dir, const ContainerRecord& record);

}  // namespace agentvm::runtime
