// From a container's configuration to the machine that it gets.
#pragma once

#include "runtime/config.h"
#include "runtime/vm_size.h"
#include "vmm/accelerator.h"
#include "vmm/machine.h"

namespace agentvm::runtime {

// All that shapes the guest; what belongs to one VM (shared directory, sockets, how it starts) is
// left to the caller.
[[nodiscard]] vmm::MachineConfig machine_config(const Config& config, const VmPrograms& programs,
                                                const VmSize& size, vmm::Accelerator accelerator,
                                                std::uint64_t tsc_khz);

}  // namespace agentvm::runtime
