// Which process a bundle's shim is: `delete` ends one that is still there.
#pragma once

#include <sys/types.h>

#include "oci/base/error.h"

namespace agentvm::shim {

inline constexpr const char* kShimRecord = "shim.pid";

[[nodiscard]] Result<void> store_shim(int bundle, pid_t shim);
// Kills the shim that `bundle` names, if it is that very process, and waits for its end a while.
void kill_shim(int bundle);

}  // namespace agentvm::shim
