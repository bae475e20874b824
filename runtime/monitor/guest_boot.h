// From a plan to a guest that is configured: a VM that waited, one that is restored, or one that
// boots.
#pragma once

#include "runtime/monitor/plan.h"
#include "runtime/session/guest_start.h"

namespace agentvm::runtime {

// Takes over the VM that create claimed. Without one restores the plan's template; boots where
// there is none or it turns out to be unusable. Bounded by vm.boot_timeout_ms for each. On failure
// nothing of the machine is left running. Marks its moments in the plan's timings.
[[nodiscard]] Task<Guest> boot_guest(MonitorPlan& plan);

}  // namespace agentvm::runtime
