// update: other limits for a running container, in the guest and on the host.
#pragma once

#include <string>

#include "oci/spec.h"
#include "runtime/container/engine.h"

namespace agentvm::runtime {

// Only what `resources` gives is changed. A memory limit above the VM's memory is refused: the VM
// keeps the size it was created with.
[[nodiscard]] Result<void> update_container(const Engine& engine, const std::string& id,
                                            const oci::Resources& resources);

}  // namespace agentvm::runtime
