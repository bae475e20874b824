// What the process takes from itself once its files are open: everything else. Namespaces, the
// empty root and the uid come from the jail that starts it.
#pragma once

#include "oci/base/error.h"

namespace agentvm::egress {

// No core, no children, files for `connections` connections or as many as may be; how many
// connections that allows.
[[nodiscard]] Result<std::size_t> limit_resources(std::size_t connections);

// No capabilities, PR_SET_NO_NEW_PRIVS, not dumpable (it holds secrets), and a seccomp filter that
// allows what the event loop, its sockets and the log's rotation need and kills the process for
// anything else. No new thread, program, or executable memory; sockets of IPv4 and IPv6 alone.
[[nodiscard]] Result<void> confine();

}  // namespace agentvm::egress
