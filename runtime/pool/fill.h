// Keeping the pool full. Who takes a VM has it replaced by a process beside it; no daemon is
// needed.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "runtime/config.h"
#include "runtime/pool/place.h"
#include "vmm/machine.h"

namespace agentvm::runtime {

// What happened to one VM, for who looks on.
struct PoolStep {
  std::string id;
  std::uint32_t waiting = 0;  // there are now as many
  std::chrono::milliseconds took{0};
};

// Until pool.size VMs wait, one after the other; those that nobody can take, made for what has
// changed since, go first, as does what is left of dead ones. unavailable when another process
// still fills it after `patience`. failed_precondition when the pool's size is 0 or VMs do not
// start from templates.
[[nodiscard]] Result<void> fill_pool(const Config& config, std::chrono::milliseconds patience,
                                     const std::function<void(const PoolStep&)>& made);

// The same in an orphan that outlives the caller and prints nothing, if the pool lacks VMs for
// `machine`. Never fails; what the user should know is logged.
void refill_pool(const Config& config, const vmm::MachineConfig& machine);

// Ends all VMs that wait and removes what is left of dead ones. Returns how many waited.
[[nodiscard]] Result<std::uint32_t> drain_pool(const Config& config);

}  // namespace agentvm::runtime
