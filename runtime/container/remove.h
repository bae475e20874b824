// delete: everything that belongs to a container goes (runtime.md "Delete").
#pragma once

#include <string>

#include "runtime/container/engine.h"

namespace agentvm::runtime {

// Without `force` only a stopped container, or one that was created and never started. With it any,
// and one that does not exist is fine. Runs poststop hooks; their failures are logged.
[[nodiscard]] Result<void> remove_container(const Engine& engine, const std::string& id,
                                            bool force);

}  // namespace agentvm::runtime
