// What a VM does once before it waits: a small container, from its creation to its removal, and a
// network interface that comes and goes. The guest's kernel and agent, and without KVM the
// translations of their code, are warm from then on.
#pragma once

#include "oci/base/async.h"
#include "runtime/config.h"
#include "runtime/session/guest_link.h"
#include "vmm/machine.h"

namespace agentvm::runtime {

// Makes the container's directory in the VM's share.
[[nodiscard]] Result<void> make_practice(int shared_dir);

// Configures the guest and lives the container's life in it. Nothing of it is left. The calling
// process has a network namespace of its own.
[[nodiscard]] Task<void> practise(const GuestLink& link, const Config& config,
                                  vmm::LiveMachine& machine);

}  // namespace agentvm::runtime
