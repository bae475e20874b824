// What a VM does once before it waits: a small container, from its creation to its removal. The
// guest's kernel and agent, and without KVM the translations of their code, are warm from then on.
#pragma once

#include "oci/base/async.h"
#include "runtime/config.h"
#include "runtime/session/guest_link.h"

namespace agentvm::runtime {

// Makes the container's directory in the VM's share.
[[nodiscard]] Result<void> make_practice(int shared_dir);

// Configures the guest and lives the container's life in it. Nothing of it is left.
[[nodiscard]] Task<void> practise(const GuestLink& link, const Config& config);

}  // namespace agentvm::runtime
