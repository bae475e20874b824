// Making the monitor: the host process that stands in for the container. It is left an orphan, so
// that the caller's subreaper (containerd's shim, conmon, our own `run`) becomes its parent and
// reaps it; it ends as the container's init ended.
#pragma once

#include "runtime/channel.h"
#include "runtime/monitor/plan.h"
#include "runtime/record.h"

namespace agentvm::runtime {

struct SpawnedMonitor {
  ProcessRef process;
  Channel channel;
};

// Forks twice; the monitor runs run_monitor() and never returns here. The caller must not have an
// event loop or threads at this point.
[[nodiscard]] Result<SpawnedMonitor> spawn_monitor(MonitorPlan& plan);
// The same for a container in a sandbox's VM: the process runs run_member().
[[nodiscard]] Result<SpawnedMonitor> spawn_member(MemberPlan& plan);

// Why something could not be done with the monitor: what it said itself, if it has failed, else
// `error`.
[[nodiscard]] Error explain_by_monitor(Channel& channel, Error error);

}  // namespace agentvm::runtime
