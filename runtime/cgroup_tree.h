// Directories of one cgroup hierarchy: made with what their version demands, listed, removed.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <set>
#include <string>

#include "oci/base/error.h"
#include "runtime/cgroup_layout.h"

namespace agentvm::runtime {

[[nodiscard]] std::string directory_of(const CgroupDir& dir);  // "/sys/fs/cgroup/memory/docker/abc"

// The directory `path` of the hierarchy, with the ancestors that are missing as those to be made.
[[nodiscard]] CgroupDir plan_cgroup(const CgroupHierarchy& hierarchy, const std::string& path);

struct MadeCgroup {
  CgroupDir dir;
  bool existed = false;  // the leaf was there already
};

// Makes `path` below the hierarchy and what it lacks above. v1's cpuset is given its parent's CPUs
// and memory nodes (it refuses processes otherwise); v2's controllers are enabled from the root
// down, as far as the kernel lets us, and dir.controllers says which the leaf has. On failure what
// was made is gone.
[[nodiscard]] Result<MadeCgroup> make_cgroup(const CgroupHierarchy& hierarchy,
                                             const std::string& path);

// Processes in `directory` and below. None when there is no such directory.
[[nodiscard]] Result<std::set<pid_t>> processes_below(const std::string& directory);

// Removes the directory, those below it, then the ancestors that make_cgroup() made and nobody
// uses. Waits at most `deadline` for dying processes; failed_precondition when some live.
[[nodiscard]] Result<void> remove_cgroup(const CgroupDir& dir, std::chrono::milliseconds deadline);

}  // namespace agentvm::runtime
