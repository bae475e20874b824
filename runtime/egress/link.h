// The one wire of a bound guest: a tap in the container's network namespace, with addresses of its
// own on both sides, that no interface of the namespace is joined with. All of it in the namespace
// of the calling process.
#pragma once

#include <cstdint>
#include <string>

#include "oci/base/error.h"
#include "runtime/network/netlink.h"
#include "runtime/network/redirect.h"
#include "runtime/network/scan.h"

namespace agentvm::runtime {

// The tap's too: the kernel asks for a neighbour that it passes packets to from such an address.
inline constexpr const char* kTapLinkLocal = "fe80::1";

// As text. Ours are the tap's, theirs the guest's.
struct LinkAddresses {
  std::string ours4;
  std::string theirs4;
  std::string net4;  // 30 bits
  std::string ours6;
  std::string theirs6;
  std::string net6;  // 64 bits
};

// 10.213.0.0/30, or the first after it in 10.213.0.0/16 that none of the namespace's addresses and
// routes has; fd61:6774:766d::/64. failed_precondition when all are taken.
[[nodiscard]] Result<LinkAddresses> choose_addresses(const NetworkScan& scan);

// What the guest's card carries: the least of the namespace's interfaces.
[[nodiscard]] std::uint32_t link_mtu(const NetworkScan& scan);

struct SandboxLink {
  Tap tap;
  std::string name;
  LinkAddresses addresses;
  std::uint32_t mtu = 0;
  bool ipv6 = false;  // where the host's kernel has it
};

// Up, with its addresses. The namespace believes no router advertisement, redirect or source route
// that comes from it, and answers nothing but neighbours by itself once the ruleset stands; until
// then nobody may be given the tap.
[[nodiscard]] Result<SandboxLink> make_link(nl_sock* netlink, const NetworkScan& scan);

// Whoever holds the tap is cut off. Fine when it is gone.
void remove_link(nl_sock* netlink, int tap);

// Whether the namespace passes packets on, which published ports need.
struct Forwarding {
  bool ipv4 = false;
  bool ipv6 = false;
};
[[nodiscard]] Forwarding read_forwarding();
[[nodiscard]] Result<void> begin_forwarding(bool ipv6);
void restore_forwarding(const Forwarding& before);

// Whether there is a way to IPv6 addresses.
[[nodiscard]] bool reaches_ipv6();

}  // namespace agentvm::runtime
