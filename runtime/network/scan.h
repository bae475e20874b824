// What a network namespace has that its container's guest is to have too.
#pragma once

#include <string>
#include <vector>

#include "oci/base/error.h"
#include "rpc/agent.pb.h"
#include "runtime/network/netlink.h"

namespace agentvm::runtime {

// The taps that join an interface with a VM: this, and a number.
inline constexpr const char* kTapPrefix = "agentvm";

struct SeenInterface {
  int index = 0;  // of the namespace, for as long as the interface is in it
  agent::v1::NetworkInterface guest;  // without a slot
};

struct NetworkScan {
  std::vector<SeenInterface> interfaces;
  std::vector<agent::v1::NetworkRoute> routes;
  std::vector<agent::v1::NetworkNeighbour> neighbours;
  bool taken = false;  // a tap of ours is there: a VM is joined with this namespace
};

// The Ethernet interfaces that are up, with what was configured on them by hand: the guest's kernel
// makes link-local addresses, routes of prefixes and what routers advertise by itself, since it has
// the same MAC addresses. Of the calling process's namespace.
[[nodiscard]] Result<NetworkScan> scan_network(nl_sock* netlink);

// failed_precondition when a VM is joined with the calling process's namespace.
[[nodiscard]] Result<void> check_untaken(const NetworkScan& scan);

}  // namespace agentvm::runtime
