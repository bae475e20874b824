// The containers of a pod that live, and a VM as large as they need it together.
#pragma once

#include <vector>

#include "runtime/container/engine.h"
#include "runtime/pod.h"

namespace agentvm::runtime {

// The sandbox first.
[[nodiscard]] Result<std::vector<Fellow>> living_fellows(const Engine& engine,
                                                         const OpenContainer& sandbox);

// Makes the sandbox's VM as large as its living members want it together: the one whose create or
// update this is has its demand in its record. What the host has not, or the VM was not made for,
// the members have to share.
[[nodiscard]] Result<void> grow_pod(const Engine& engine, const Membership& membership);

}  // namespace agentvm::runtime
