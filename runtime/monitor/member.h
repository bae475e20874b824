// A member: the process that stands in for a container which lives in the VM of its pod's sandbox.
// It has the network namespace of the sandbox's stand-in and a cgroup of its own, brings the
// container's share to the sandbox's monitor, and speaks with the guest's agent itself. It ends as
// the container's init ends; with the VM it is killed.
#pragma once

#include "runtime/channel.h"
#include "runtime/monitor/plan.h"

namespace agentvm::runtime {

// Runs in the orphan that spawn_member() made. Tells `channel` how far it got.
[[noreturn]] void run_member(MemberPlan& plan, Channel channel);

}  // namespace agentvm::runtime
