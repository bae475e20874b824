// What the process takes from itself once its files are open: everything else. Namespaces, the
// empty root and the uid come from the jail that starts it.
#pragma once

#include <span>

#include "oci/base/error.h"

namespace agentvm::vmm::vsock {

// Closes every fd but 2 and `keep`; 0 and 1 become a socket connected to nothing, so that they are
// neither someone's pipe nor free numbers.
[[nodiscard]] Result<void> close_other_fds(std::span<const int> keep);

// No core, no children, bounded heap (guest memory is shared and does not count), files for all
// links.
[[nodiscard]] Result<void> limit_resources();

// PR_SET_NO_NEW_PRIVS, not dumpable, and a seccomp filter that allows what the event loop does and
// kills the process for anything else. No new thread, program, name but unix sockets', and no
// executable memory.
[[nodiscard]] Result<void> restrict_system_calls();

}  // namespace agentvm::vmm::vsock
