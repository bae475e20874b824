// The network of a container's guest: what the monitor's network namespace has, made the guest's
// by NICs that are plugged for it, and followed from then on.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "oci/base/async.h"
#include "rpc/agent_client.h"
#include "runtime/network/container_network.h"
#include "runtime/network/netlink.h"
#include "runtime/network/scan.h"
#include "runtime/network/watch.h"
#include "runtime/session/guest_link.h"
#include "vmm/machine.h"

namespace agentvm::runtime {

class GuestNetwork : public ContainerNetwork {
 public:
  // All of it is borrowed but the agent's connection.
  GuestNetwork(vmm::LiveMachine& machine, std::shared_ptr<rpc::AgentClient> agent, GuestLink link);

  // The guest has the interfaces that the namespace has now. failed_precondition when there are
  // more than a VM has places for, or another VM is joined with the namespace.
  [[nodiscard]] Task<void> attach() override;

  // After attach(): what changes in the namespace changes in the guest, until the event loop ends.
  // What cannot be done is logged.
  [[nodiscard]] asio::awaitable<void> follow() override;

  // The interfaces belong to the namespace again, for good. The guest is not told.
  void part() override;

 private:
  struct Joined {
    int index = 0;
    int tap = 0;
    unsigned slot = 0;
  };

  Task<void> look_again();
  Task<void> apply(const NetworkScan& scan);
  Task<void> join(const SeenInterface& interface);
  Task<void> plug_new(const NetworkScan& scan);
  Task<void> unplug_gone(const NetworkScan& scan);
  Task<void> tell_guest(const NetworkScan& scan);
  Result<void> find_resolver();
  [[nodiscard]] unsigned free_slot() const;

  vmm::LiveMachine& machine_;
  std::shared_ptr<rpc::AgentClient> agent_;
  GuestLink link_;
  NetlinkSocket netlink_;
  std::optional<NetworkWatch> watch_;
  std::vector<Joined> joined_;
  std::string told_;       // the last request that the guest has carried out, serialized
  bool resolver_ = false;  // Docker's: its answers are let through
  bool names_ = false;     // and the guest reaches it
  bool parted_ = false;
};

}  // namespace agentvm::runtime
