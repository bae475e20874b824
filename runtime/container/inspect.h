// Looking at containers: state, list, processes, statistics.
#pragma once

#include <string>
#include <vector>

#include "rpc/agent_methods.h"
#include "runtime/container/engine.h"

namespace agentvm::runtime {

// Every container below the root, sorted by id; ones that vanish meanwhile are left out, damaged
// ones too, with a warning in the log.
[[nodiscard]] Result<std::vector<ContainerRecord>> list_containers(const Engine& engine);

// The guest's own process table. failed_precondition when the container has stopped.
[[nodiscard]] Result<agent::v1::ListProcessesResponse> list_processes(const Engine& engine,
                                                                      const std::string& id);

// The host's processes that stand for something in the container: the monitor, then the stand-ins
// of detached execs. What Docker's `top` hands to the host's ps.
[[nodiscard]] Result<std::vector<pid_t>> list_stand_ins(const Engine& engine,
                                                        const std::string& id);

[[nodiscard]] Result<agent::v1::ContainerStatsResponse> container_stats(const Engine& engine,
                                                                        const std::string& id);

}  // namespace agentvm::runtime
