// What agentvm could leave behind on a host, counted: processes, mounts, cgroups, network
// interfaces, files of its root. A test takes one before and one after.
#pragma once

#include <set>
#include <string>
#include <vector>

namespace agentvm::e2e {

struct Census {
  std::set<std::string> entries;  // "process qemu-system-x86", "cgroup /sys/fs/…", "mount …"
};

[[nodiscard]] Census take_census();

// What is in `after` and not in `before`; waits a short while for what is on its way out.
[[nodiscard]] std::vector<std::string> left_behind(const Census& before);

}  // namespace agentvm::e2e
