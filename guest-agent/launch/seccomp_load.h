// A container's seccomp filter, compiled by the host, put into force by the child.
#pragma once

#include "oci/base/error.h"
#include "oci/seccomp_filter.h"

namespace agentvm::guest {

// Wants no_new_privs or CAP_SYS_ADMIN in the process's user namespace.
[[nodiscard]] Result<void> load_seccomp(const oci::SeccompFilter& filter);

}  // namespace agentvm::guest
