#pragma once

#include <sys/types.h>

#include <limits>

namespace agentvm::e2e {

// The pid of what is not there. No process has it, so that a signal to it goes nowhere: kill(2) takes
// 0 for a whole process group and -1 for all processes of the machine.
inline constexpr pid_t kNobody = std::numeric_limits<pid_t>::max();

}  // namespace agentvm::e2e
