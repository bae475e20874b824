// Starting a sandbox and being connected with what runs in it.
#pragma once

#include "sandbox/cli/world.h"
#include "sandbox/store/record.h"

namespace agentvm::sandbox {

// Starts the container unless it runs; Docker's words with what to do about them.
[[nodiscard]] Result<void> start_container(const Docker& docker, const Record& record);

// Starts it unless it runs and joins our terminal with the agent's; the agent's exit status, or 0
// when the user left it running.
[[nodiscard]] Result<int> attach_agent(const Docker& docker, const Record& record,
                                       const std::string& detach_keys);

// The container of a sandbox; one that is gone says how to get another.
[[nodiscard]] Result<ContainerView> container_of(const Docker& docker, const Record& record);

}  // namespace agentvm::sandbox
