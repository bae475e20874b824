// What host_cgroup made on the host, as it is kept in the container's record: enough to kill and
// remove everything without the process that made it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace agentvm::runtime {

enum class CgroupDriver : std::uint8_t { cgroupfs, systemd };

// The container's directory in one mounted hierarchy.
struct CgroupDir {
  std::string hierarchy;  // mount point: "/sys/fs/cgroup", "/sys/fs/cgroup/memory"
  std::string path;       // below it, absolute: "/docker/abc"
  bool v2 = false;
  std::vector<std::string> controllers;  // "memory"; "name=systemd" for a named v1 hierarchy
  // Ancestors of `path` that did not exist before, outermost first, as paths like `path`. They go
  // again when empty; one that somebody else uses by then stays.
  std::vector<std::string> made_parents;
  friend bool operator==(const CgroupDir&, const CgroupDir&) = default;
};

struct CgroupRecord {
  CgroupDriver driver = CgroupDriver::cgroupfs;
  std::string unit;             // systemd's scope, "" with cgroupfs
  std::vector<CgroupDir> dirs;  // empty: no cgroup of our own
  friend bool operator==(const CgroupRecord&, const CgroupRecord&) = default;
};

}  // namespace agentvm::runtime
