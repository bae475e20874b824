// A container's use of the guest, from its cgroup's files. What the kernel has no file for stays 0,
// a limit that nobody set is 2^64-1.
#pragma once

#include <set>
#include <string>

#include "rpc/agent.pb.h"

namespace agentvm::guest {

// `page_sizes` are those of CgroupMachine.
[[nodiscard]] agent::v1::ContainerStatsResponse read_cgroup_stats(
    const std::string& path, const std::set<std::string>& page_sizes);

}  // namespace agentvm::guest
