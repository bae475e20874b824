// pause and resume: the guest's cgroup freezer, as runc uses the host's.
#pragma once

#include <string>

#include "runtime/container/engine.h"

namespace agentvm::runtime {

// failed_precondition unless running (pause) or paused (resume).
[[nodiscard]] Result<void> pause_container(const Engine& engine, const std::string& id);
[[nodiscard]] Result<void> resume_container(const Engine& engine, const std::string& id);

}  // namespace agentvm::runtime
