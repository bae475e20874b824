// What the guest's cgroup counted, in the form that containerd expects on this host. Pure.
#pragma once

#include "rpc/agent_methods.h"
#include "rpc/containerd/types.pb.h"

namespace agentvm::shim {

// cgroup v2 alone at /sys/fs/cgroup, as containerd decides it; else v1, hybrid hosts too.
[[nodiscard]] bool host_is_unified();

// io.containerd.cgroups.v2.Metrics when `unified`, else io.containerd.cgroups.v1.Metrics.
[[nodiscard]] containerd::types::Any make_metrics(const agent::v1::ContainerStatsResponse& stats,
                                                  bool unified);

}  // namespace agentvm::shim
