// A place for mounts that the host does not see.
#pragma once

#include "oci/base/error.h"

namespace agentvm::runtime {

// Gives the calling process a mount namespace of its own, which still receives the host's later
// mounts. What is mounted in it ends with the last process in it.
[[nodiscard]] Result<void> enter_own_mounts();

}  // namespace agentvm::runtime
