// A running VM that becomes larger.
#pragma once

#include "runtime/container/engine.h"
#include "runtime/growth.h"

namespace agentvm::runtime {

// Raises the ceiling of the host's cgroup, has QEMU plug what is missing and the guest take it into
// use, and records the size. What came before a failure stays with the VM; the record then tells
// the size of before, and the next attempt goes on. The caller holds no lock: the container's end
// wants it meanwhile.
[[nodiscard]] Result<void> grow_container(const Engine& engine, const OpenContainer& container,
                                          const vmm::MachineSize& total);

}  // namespace agentvm::runtime
