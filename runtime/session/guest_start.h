// From a machine's description to an agent that answers: the machine is started, the agent dials
// in, the guest gets its clock, entropy and names.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "oci/base/async.h"
#include "rpc/agent_client.h"
#include "runtime/config.h"
#include "runtime/timings.h"
#include "vmm/machine.h"
#include "vmm/template/store.h"

namespace agentvm::runtime {

struct Guest {
  std::unique_ptr<vmm::LiveMachine> machine;
  std::shared_ptr<rpc::AgentClient> agent;  // its connection owns what it creates
};

// What a VM has on the host lies in one directory: what it is shown, its vsock's sockets
// (kVsockDirectory) and, on a tmpfs of its own, the memory of a restored one.
inline constexpr const char* kSharedDirectory = "shared";
inline constexpr const char* kMemoryDirectory = "memory";

// Makes the three in the empty directory.
[[nodiscard]] Result<void> make_guest_directories(int directory);

struct GuestOrder {
  const vmm::MachineConfig& machine;         // as plan_machine() made it
  std::string directory;                     // absolute, as the caller's mount namespace has it
  const vmm::OpenTemplate* saved = nullptr;  // what is restored; nothing: the guest boots
  Timings& timings;                          // its steps are marked here
};

// Bounded by the machine's boot_timeout. On failure nothing of the machine is left running, and the
// error ends with the last lines of the guest's console. `lost`: the part of the machine whose end
// is why it failed.
[[nodiscard]] Task<Guest> start_guest(GuestOrder order, std::optional<vmm::MachineEnd>& lost);

// The agent's Configure: fresh entropy and machine id, the host's clock. "" is a hostname of ours.
[[nodiscard]] Task<void> configure_guest(rpc::AgentClient& agent, const Config& config,
                                         const std::string& hostname, Timings& timings);

// "the VM ended: qemu was killed by signal 9", with the console's last lines.
[[nodiscard]] std::string describe_end(const vmm::LiveMachine& machine, const vmm::MachineEnd& end);

}  // namespace agentvm::runtime
