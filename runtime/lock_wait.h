// flock(2) with a deadline.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>

#include "oci/base/error.h"

namespace agentvm::runtime {

// Takes the exclusive lock on `fd`, waiting at most `deadline`; unavailable after that. `fd` must
// be a file that its holders close or unlock-and-close when done.
[[nodiscard]] Result<void> wait_for_lock(int fd, std::chrono::milliseconds deadline);

// The same for whichever of `fds` (not empty) is free first: its index. Nobody queues: among those
// who wait for one of several it is a matter of luck.
[[nodiscard]] Result<std::size_t> wait_for_one_lock(std::span<const int> fds,
                                                    std::chrono::milliseconds deadline);

}  // namespace agentvm::runtime
