// The host's side of a guest-initiated connection: the unix socket a service listens on.
#pragma once

#include <cstdint>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"

namespace agentvm::vmm::vsock {

// Connects to "vsock.sock_<port>" in the working directory (main changed into the socket directory:
// its jail has no /proc to go through). Never blocks: a service whose backlog is full refuses.
[[nodiscard]] Result<UniqueFd> connect_service(std::uint32_t port);

}  // namespace agentvm::vmm::vsock
