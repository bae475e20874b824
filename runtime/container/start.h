// start: lets the program of a created container run (runtime.md "Start").
#pragma once

#include <string>

#include "runtime/container/engine.h"

namespace agentvm::runtime {

// Plugs the network (see docs/compatibility.md), runs startContainer hooks in the guest, then the
// program; poststart hooks on the host after it, whose failures are logged. failed_precondition in
// any status but created.
[[nodiscard]] Result<void> start_container(const Engine& engine, const std::string& id);

}  // namespace agentvm::runtime
