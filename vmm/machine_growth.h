// Memory and vCPUs for a machine that runs. Memory comes as one virtio-mem device in a slot of its
// own, as large as all that may ever come, of which the guest is asked to take what it has been
// given; a vCPU is plugged into one of the places that the machine was made with.
// Why so: docs/decisions/0005-growing.md.
#pragma once

#include <chrono>
#include <cstdint>

#include "oci/base/async.h"
#include "vmm/machine.h"
#include "vmm/qmp.h"

namespace agentvm::vmm {

// The steps in which virtio-mem gives memory.
inline constexpr std::uint64_t kMemoryStepMib = 2;

// A machine as far as growing goes.
struct MachineBounds {
  MachineSize start;
  MachineSize most;
  friend bool operator==(const MachineBounds&, const MachineBounds&) = default;
};

// What has been plugged so far. Survives a failure: the next attempt goes on from there.
struct PluggedMemory {
  bool backend = false;
  bool device = false;
  std::uint64_t mib = 0;
};

// failed_precondition where the machine cannot become as large as `total`.
[[nodiscard]] Result<void> check_growth(const MachineBounds& bounds, const MachineSize& total);

// MiB of the device: what may come besides the memory of the start, in whole steps.
[[nodiscard]] std::uint64_t growable_mib(const MachineBounds& bounds);
// MiB that the guest is asked to take of it for a total, in whole steps.
[[nodiscard]] std::uint64_t wanted_mib(const MachineBounds& bounds, std::uint64_t total_mib);

// Both outlive it. `plugged` may change even on failure.
[[nodiscard]] Task<void> grow_memory(const MachineBounds& bounds, std::uint64_t total_mib, Qmp& qmp,
                                     PluggedMemory& plugged, Qmp::Timeout timeout);
[[nodiscard]] Task<void> grow_vcpus(std::uint32_t total, Qmp& qmp, Qmp::Timeout timeout);

}  // namespace agentvm::vmm
