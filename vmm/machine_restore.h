// The part of a machine's start that only a restore from a template has.
#pragma once

#include <optional>

#include "oci/base/async.h"
#include "oci/base/stopwatch.h"
#include "vmm/child.h"
#include "vmm/machine.h"
#include "vmm/qmp.h"

namespace agentvm::vmm {

// A guest's memory that is a file: made before QEMU is started, which opens it by its path.
struct GuestMemory {
  UniqueFd file;
  std::optional<Child> copy;  // from the template, on its way
};
// Nothing with a machine that has memory of its own.
[[nodiscard]] Result<GuestMemory> begin_memory(const MachineConfig& config);

// Once QEMU answers: waits for the memory, loads the state, plugs the devices that cannot be saved,
// lets the guest go on. The arguments outlive the task.
[[nodiscard]] Task<void> restore_guest(const MachineConfig& config, Qmp& qmp, GuestMemory& memory,
                                       const Stopwatch& watch, BootTimings& timings);

}  // namespace agentvm::vmm
