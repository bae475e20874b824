// From a configuration to the machine that a VM of some size gets on this host.
#pragma once

#include "runtime/config.h"
#include "runtime/vm_size.h"
#include "vmm/accelerator.h"
#include "vmm/machine.h"

namespace agentvm::runtime {

struct PlannedMachine {
  // All that shapes the guest; what belongs to one VM (shared directory, sockets, how it starts) is
  // left to the caller.
  vmm::MachineConfig config;
  vmm::AcceleratorVerdict accelerator;
};

// Finds the programs, chooses the accelerator, takes the host's clock.
[[nodiscard]] Result<PlannedMachine> plan_machine(const Config& config, const VmSize& size);

// The same for a container without limits.
[[nodiscard]] Result<PlannedMachine> plan_default_machine(const Config& config);

}  // namespace agentvm::runtime
