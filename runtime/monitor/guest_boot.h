// From a plan to an agent that answers: the machine is started, the agent dials in, the guest gets
// its clock, entropy and names.
#pragma once

#include <memory>
#include <string>

#include "oci/base/async.h"
#include "rpc/agent_client.h"
#include "runtime/monitor/plan.h"
#include "vmm/machine.h"

namespace agentvm::runtime {

struct Guest {
  std::unique_ptr<vmm::Machine> machine;
  std::shared_ptr<rpc::AgentClient> agent;  // its connection owns the container
};

// In the state directory: where a restored guest's memory lies, on a tmpfs of the monitor's.
inline constexpr const char* kMemoryDirectory = "memory";

// Restores the plan's template; boots where there is none or it turns out to be unusable. Bounded
// by vm.boot_timeout_ms for each. On failure nothing of the machine is left running, and the error
// ends with the last lines of the guest's console. Marks its moments in the plan's timings.
[[nodiscard]] Task<Guest> boot_guest(MonitorPlan& plan);

// "the VM ended: qemu was killed by signal 9", with the console's last lines.
[[nodiscard]] std::string describe_end(const vmm::Machine& machine, const vmm::MachineEnd& end);

}  // namespace agentvm::runtime
