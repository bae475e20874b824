// Joins an interface of a network namespace with a VM's NIC: a tap beside it, and everything that
// arrives at the one leaves by the other (tc-mirred(8)), so that the VM is what the interface's
// neighbours see. In the network namespace of the calling process.
#pragma once

#include <string>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"
#include "runtime/network/netlink.h"
#include "runtime/network/scan.h"

namespace agentvm::runtime {

// The ports from which a resolver that Docker runs in the namespace asks its own servers, once
// reserve_resolver_ports() has been called. The lowest is above those that a guest's kernel uses.
inline constexpr std::uint16_t kResolverPorts = 0xf000;  // and the mask of the range

// Whether Docker's resolver (127.0.0.11) serves the namespace.
[[nodiscard]] bool has_resolver();

// Of the namespace's own sockets; the guest's are not concerned.
[[nodiscard]] Result<void> reserve_resolver_ports();

struct Tap {
  UniqueFd fd;  // for QEMU: the tap goes with its last descriptor
  int index = 0;
};

// One that leads nowhere, up.
[[nodiscard]] Result<Tap> make_tap(nl_sock* netlink, std::uint32_t mtu);

// What an earlier VM left on the interface is replaced.
[[nodiscard]] Result<Tap> join_interface(nl_sock* netlink, const SeenInterface& interface);

// From now on answers of DNS servers to kResolverPorts, and of neighbours, which arrive at
// `interface`, joined with `tap`, reach the namespace too.
[[nodiscard]] Result<void> admit_resolver(nl_sock* netlink, int interface, int tap);

// The interface belongs to its namespace again. Fine when it is gone.
void part_interface(nl_sock* netlink, int index);

// The same for every interface of the network namespace `path`, for a VM whose monitor died before
// it could; not when another VM is joined with it by now. Fine when there is no such namespace.
void release_namespace(const std::string& path);

}  // namespace agentvm::runtime
