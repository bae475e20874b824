// linux.seccomp (config-linux.md) as a program for the kernel. Compiled by the agent before there
// is a child, so that a profile that cannot be had is an error of create; loaded by the child.
#pragma once

#include <linux/filter.h>

#include <vector>

#include "oci/base/error.h"
#include "oci/spec.h"

namespace agentvm::guest {

struct SeccompFilter {
  std::vector<sock_filter> program;
  unsigned flags = 0;  // SECCOMP_FILTER_FLAG_*
};

// As runc: names and architectures that libseccomp does not know are left out, and so are rules
// whose action is the default one; conditions on one argument given twice are alternatives; system
// calls newer than every one that the profile names fail with ENOSYS where the default is an error
// (a C library then falls back to older ones). invalid_argument for SCMP_ACT_NOTIFY and
// listenerPath, which nobody outside the guest could serve.
[[nodiscard]] Result<SeccompFilter> compile_seccomp(const oci::Seccomp& seccomp);

// Wants no_new_privs or CAP_SYS_ADMIN in the process's user namespace.
[[nodiscard]] Result<void> load_seccomp(const SeccompFilter& filter);

}  // namespace agentvm::guest
