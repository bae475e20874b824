// What Configure does to the guest itself.
#pragma once

#include "oci/base/error.h"
#include "rpc/agent.pb.h"

namespace agentvm::guest {

// Checks the whole request, then sets clock, randomness, names, and loads modules. In a VM that was
// restored from a template the kernel's random pool is a copy of the template's: it is reseeded
// from `entropy` at once.
[[nodiscard]] Result<void> configure_guest(const agent::v1::ConfigureRequest& request);

}  // namespace agentvm::guest
