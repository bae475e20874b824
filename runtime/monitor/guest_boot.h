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
  std::string kernel_release;
};

// Bounded by vm.boot_timeout_ms. On failure nothing of the machine is left running, and the error
// ends with the last lines of the guest's console.
[[nodiscard]] Task<Guest> boot_guest(const MonitorPlan& plan);

// "the VM ended: qemu was killed by signal 9", with the console's last lines.
[[nodiscard]] std::string describe_end(const vmm::Machine& machine, const vmm::MachineEnd& end);

}  // namespace agentvm::runtime
