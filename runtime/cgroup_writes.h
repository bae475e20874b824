// HostLimits as writes to cgroup files. Pure.
#pragma once

#include <string>
#include <vector>

#include "runtime/host_limits.h"

namespace agentvm::runtime {

struct CgroupWrite {
  struct Choice {
    std::string file;
    std::string value;
    friend bool operator==(const Choice&, const Choice&) = default;
  };
  std::string controller;       // "memory"; v2's name for v2
  std::string limit;            // in the specification's words: "memory limit"
  std::vector<Choice> choices;  // the first whose file the directory has
  friend bool operator==(const CgroupWrite&, const CgroupWrite&) = default;
};

// In the order in which the kernel accepts them on a fresh cgroup.
[[nodiscard]] std::vector<CgroupWrite> plan_writes_v1(const HostLimits& limits);
[[nodiscard]] std::vector<CgroupWrite> plan_writes_v2(const HostLimits& limits);

// cgroup v1's cpu.shares as v2's cpu.weight, and blkio's weight as io.weight: the ends of the
// ranges meet, as in runc and systemd.
[[nodiscard]] std::uint64_t cpu_weight_of_shares(std::uint64_t shares);
[[nodiscard]] std::uint64_t io_weight_of_blkio(std::uint64_t weight);

}  // namespace agentvm::runtime
