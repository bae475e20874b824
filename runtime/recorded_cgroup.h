// A cgroup whose making may be cut short at any moment, and which is then found by its record.
#pragma once

#include "runtime/host_cgroup.h"
#include "runtime/state_dir.h"

namespace agentvm::runtime {

// HostCgroup::create(), recorded in `dir` before and after: a maker that is killed in between
// leaves nothing unknown. `record` is stored as it is, with its cgroup.
[[nodiscard]] Result<HostCgroup> make_recorded_cgroup(const CgroupRequest& request,
                                                      const StateDir& dir, ContainerRecord& record);

// Stores the record under the lock.
[[nodiscard]] Result<void> store(const StateDir& dir, const ContainerRecord& record);

}  // namespace agentvm::runtime
