// How readily the host's kernel ends a container's VM when it is short of memory.
#pragma once

#include <sys/types.h>

#include "oci/spec.h"

namespace agentvm::runtime {

// Gives process `pid` of the host (0: the caller, and what it starts from now on) the score of the
// spec's process.oomScoreAdj; without one it keeps what it inherited, as with runc. A kernel that
// refuses, since a lower score takes CAP_SYS_RESOURCE, is a line in the log: the guest's processes
// have their scores among themselves in any case.
void apply_oom_score(const oci::Spec& spec, pid_t pid);

}  // namespace agentvm::runtime
