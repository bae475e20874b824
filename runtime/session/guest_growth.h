// A guest that is given more while it runs.
#pragma once

#include "oci/base/async.h"
#include "runtime/session/guest_start.h"

namespace agentvm::runtime {

// Plugs what is missing of `total` and has the agent take it into use; `start` is what the guest
// began with. unavailable when the guest does not use all of it in time: what it has then, it
// keeps, and the call may be repeated. The guest's word decides over success alone; what it can use
// at most is what was plugged, and what the host's cgroup lets QEMU have.
[[nodiscard]] Task<void> grow_guest(const Guest& guest, vmm::MachineSize start,
                                    vmm::MachineSize total, std::chrono::milliseconds timeout);

}  // namespace agentvm::runtime
