// The gateway of a bound container: the program agentvm-gateway (egress/), a child of the monitor,
// confined, in the monitor's network namespace, with everything it needs as descriptors.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"
#include "runtime/egress/ruleset.h"
#include "runtime/egress/settings.h"
#include "vmm/child.h"

namespace agentvm::runtime {

// Where the guest's connections and questions arrive, of one address family.
struct GatewaySockets {
  UniqueFd tcp;
  UniqueFd dns_udp;
  UniqueFd dns_tcp;
  GatewayPorts ports;
};

// At ports of the kernel's choice of `address`, which must be the namespace's already.
[[nodiscard]] Result<GatewaySockets> open_gateway_sockets(const std::string& address);

struct GatewayOrder {
  std::string sandbox;  // for messages
  std::string program;
  bool jail = true;
  uid_t uid = 0;  // with a jail
  SandboxFiles files;
  UniqueFd authorities;  // of the certificates of servers; may be none
  UniqueFd control;
  UniqueFd log_directory;
  std::vector<GatewaySockets> sockets;
  std::vector<std::string> resolvers;
  bool ipv6 = false;  // the namespace reaches it
};

// Of the monitor `monitor`, as the uids of the VM's parts.
[[nodiscard]] uid_t gateway_uid(pid_t monitor);

// The first of the places where distributions keep the authorities that they trust.
[[nodiscard]] UniqueFd open_authorities();

class Gateway {
 public:
  // It serves when this returns. No descriptor of the order is left open here: when the gateway
  // has ended, nobody listens. What it prints goes to the log, a hundred lines of it.
  [[nodiscard]] static Task<std::unique_ptr<Gateway>> start(GatewayOrder order,
                                                            std::chrono::milliseconds timeout);

  // As waitpid(2) gives it. Only one may wait, and the object must stay.
  [[nodiscard]] Task<int> wait_end() { return child_.wait(); }
  void end();

 private:
  explicit Gateway(vmm::Child child) : child_(std::move(child)) {}
  vmm::Child child_;
};

}  // namespace agentvm::runtime
