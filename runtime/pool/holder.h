// The process that holds one VM of the pool, from its restore to the end of the container that
// takes it. It is the parent of the VM's processes, and has one client at most: once that has
// closed its connection, the VM goes.
#pragma once

#include <string_view>

#include "runtime/channel.h"
#include "runtime/config.h"
#include "runtime/pool/place.h"
#include "vmm/machine.h"
#include "vmm/template/store.h"

namespace agentvm::runtime {

// In the VM's place while it waits. A client sends one message with the mount that is to be shared,
// which is answered with done or failed, and may then send grow, answered likewise, and stop.
inline constexpr const char* kHolderSocket = "holder.sock";

// What messages call it.
inline constexpr std::string_view kHolder = "the process that holds the VM";

// The directory of the VM's share on which a claimant's mount is put.
inline constexpr const char* kPoolShare = "container";

struct HolderOrder {
  const Config& config;
  const vmm::MachineConfig& machine;
  const vmm::OpenTemplate& saved;
  const PoolPlace& place;
};

// In a process that was forked for it, which ends here. Tells `maker` prepared, once its namespaces
// are there; on proceed restores the VM, practises, and tells created, or failed. Until then it
// ends with the maker.
[[noreturn]] void hold_vm(const HolderOrder& order, Channel maker);

}  // namespace agentvm::runtime
