// The firewall between a bound guest and everything else: table "inet agentvm" of the container's
// network namespace (nft(8)). The guest reaches the gateway's sockets and nothing else, whatever it
// sends; the world reaches the guest's ports, and is answered.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "oci/base/error.h"
#include "runtime/egress/link.h"

namespace agentvm::runtime {

// Where the gateway listens on the tap's address.
struct GatewayPorts {
  std::uint16_t tcp = 0;
  std::uint16_t dns_udp = 0;
  std::uint16_t dns_tcp = 0;
};

struct RulesetPlan {
  std::string tap;  // its name
  LinkAddresses addresses;
  GatewayPorts ipv4;
  std::optional<GatewayPorts> ipv6;
  uid_t gateway = 0;
};

// In place of whatever table of that name is there, all at once.
[[nodiscard]] std::string make_ruleset(const RulesetPlan& plan);
// Fine when there is none.
[[nodiscard]] std::string make_ruleset_removal();

// Has libnftables carry out the text, all or nothing, in the network namespace of the calling
// process. unavailable, with its words, when the kernel or the library cannot.
[[nodiscard]] Result<void> apply_ruleset(const std::string& text);

}  // namespace agentvm::runtime
