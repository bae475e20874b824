// Which cgroup hierarchies this host has and where they are mounted.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"
#include "runtime/cgroup_record.h"

namespace agentvm::runtime {

struct CgroupHierarchy {
  std::string mount_point;
  bool v2 = false;
  // v1: those bound to it, "name=systemd" for a named one. v2: those its root can give.
  std::vector<std::string> controllers;
  friend bool operator==(const CgroupHierarchy&, const CgroupHierarchy&) = default;
};

// From /proc/self/mountinfo and /proc/self/cgroup (proc(5), cgroups(7)); each hierarchy once, in
// the order of mountinfo; the controllers of v2 are left empty. Pure.
[[nodiscard]] std::vector<CgroupHierarchy> parse_cgroup_hierarchies(std::string_view mountinfo,
                                                                    std::string_view self_cgroup);

// Of this process's mount namespace. unavailable when there is none.
[[nodiscard]] Result<std::vector<CgroupHierarchy>> find_cgroup_hierarchies();

// The path below every hierarchy's root that `cgroups_path` means for cgroupfs. invalid_argument
// for one with "..", or that is the root itself.
[[nodiscard]] Result<std::string> resolve_cgroups_path(const std::string& cgroups_path,
                                                       const std::string& container_id);

// "slice:prefix:name" for systemd.
struct SystemdPath {
  std::string slice;  // "system.slice"
  std::string unit;   // "docker-abc.scope"
  std::string path;   // "/system.slice/docker-abc.scope", nested slices spelled out
  friend bool operator==(const SystemdPath&, const SystemdPath&) = default;
};
[[nodiscard]] Result<SystemdPath> resolve_systemd_path(const std::string& cgroups_path,
                                                       const std::string& container_id);

}  // namespace agentvm::runtime
