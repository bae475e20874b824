// The monitor: one process per container on the host, from create to the end of its init. It is
// the parent of QEMU, virtiofsd and the vsock backend, which die with it; it lives in the
// container's network namespace and host cgroup; it relays the container's streams and signals,
// and ends as the container's init ends.
#pragma once

#include "runtime/channel.h"
#include "runtime/monitor/plan.h"

namespace agentvm::runtime {

// Runs in the orphan that spawn_monitor() made. Tells `channel` how far it got.
[[noreturn]] void run_monitor(MonitorPlan& plan, Channel channel);

}  // namespace agentvm::runtime
