// linux.seccomp (config-linux.md) as a program for the kernel. The host compiles it, in a fraction
// of the time that a guest without KVM would take, and a profile that cannot be had is an error
// before there is a VM; the guest's agent puts it into force.
#pragma once

#include <linux/filter.h>

#include <vector>

#include "oci/base/error.h"
#include "oci/spec.h"

namespace agentvm::oci {

struct SeccompFilter {
  std::vector<sock_filter> program;  // at most BPF_MAXINSNS
  unsigned flags = 0;                // SECCOMP_FILTER_FLAG_*
};

// As runc: names and architectures that libseccomp does not know are left out, and so are rules
// whose action is the default one; conditions on one argument given twice are alternatives; system
// calls newer than every one that the profile names fail with ENOSYS where the default is an error
// (a C library then falls back to older ones). invalid_argument for SCMP_ACT_NOTIFY and
// listenerPath, which nobody outside the guest could serve.
//
// For the kernel of a guest (6.1 or later) whatever the caller's own is.
[[nodiscard]] Result<SeccompFilter> compile_seccomp(const Seccomp& seccomp);

}  // namespace agentvm::oci
