// The network of a container that is an agent sandbox: one link to its gateway, which has the
// namespace's interfaces for itself. Whatever the guest sends, what leaves the namespace was sent
// by the gateway, or answers somebody who came to a port of the guest.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "rpc/agent_client.h"
#include "runtime/config.h"
#include "runtime/egress/binding.h"
#include "runtime/egress/gateway.h"
#include "runtime/egress/link.h"
#include "runtime/network/container_network.h"
#include "runtime/record.h"
#include "runtime/session/guest_link.h"
#include "vmm/machine.h"

namespace agentvm::runtime {

struct BoundOrder {
  SandboxBinding sandbox;
  std::string container;
  const Config* config = nullptr;  // outlives it
  // Has it written down what is about to be changed, for who cleans up after a monitor that dies.
  std::function<Result<void>(const EgressRecord&)> record;
};

class BoundNetwork : public ContainerNetwork {
 public:
  // The machine is borrowed.
  BoundNetwork(vmm::LiveMachine& machine, std::shared_ptr<rpc::AgentClient> agent, GuestLink link,
               BoundOrder order);

  // The gateway first, the guest's card last: at no moment has the guest another way out.
  // failed_precondition as open_sandbox_files(), with the gateway's words, and when another VM has
  // the namespace.
  [[nodiscard]] Task<void> attach() override;
  // Logs the gateway's end. There is no second one: without it nobody listens where the guest's
  // packets go.
  [[nodiscard]] asio::awaitable<void> follow() override;
  void part() override;

 private:
  Result<void> make_way();
  Result<GatewayOrder> order_gateway();
  Result<void> write_down();
  Task<void> plug();
  Task<void> tell_guest();

  vmm::LiveMachine& machine_;
  std::shared_ptr<rpc::AgentClient> agent_;
  GuestLink guest_;
  BoundOrder order_;
  NetlinkSocket netlink_;
  std::unique_ptr<SandboxLink> link_;
  std::vector<GatewaySockets> sockets_;  // until the gateway has them
  GatewayPorts ports_;                   // of IPv4
  std::optional<EgressRecord> changed_;
  std::string mac_;  // of the guest's card
  std::unique_ptr<Gateway> gateway_;
  bool names_ = false;  // the guest asks at 127.0.0.11
  bool parted_ = false;
};

// What part() does, after the death of a monitor that could not. `network_namespace`: its path, ""
// when it was the container's own. Fine when all is gone, or another VM has the namespace by now.
void release_bound_network(const EgressRecord& changed, const std::string& network_namespace);

}  // namespace agentvm::runtime
