// flock(2) with a deadline.
#pragma once

#include <chrono>

#include "oci/base/error.h"

namespace agentvm::runtime {

// Takes the exclusive lock on `fd`, waiting at most `deadline`; unavailable after that. `fd` must
// be a file that its holders close or unlock-and-close when done.
[[nodiscard]] Result<void> wait_for_lock(int fd, std::chrono::milliseconds deadline);

}  // namespace agentvm::runtime
