// A request to the process that stands in for a container, over its control socket.
#pragma once

#include <chrono>

#include "runtime/channel.h"
#include "runtime/state_dir.h"

namespace agentvm::runtime {

// Until it is carried out; its error is the monitor's own, or unavailable.
[[nodiscard]] Result<void> ask_monitor(const StateDir& dir, const Message& request,
                                       std::chrono::milliseconds timeout);

}  // namespace agentvm::runtime
