// OCI LinuxResources as cgroup v2 file writes: a pure translation, with runc's conversions where
// v1 terms have no v2 twin. Nothing is dropped in silence: what a cgroup v2 guest cannot enforce is
// an error that names the OCI field. The exceptions follow runc on v2: kernel memory limits are
// ignored (the kernel counts that memory into memory.max), a limit of 0 means "not given".
// Device rules are not here: cgroup_devices.h.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "oci/base/error.h"
#include "oci/spec.h"

namespace agentvm::guest {

// What the guest can enforce, as read_cgroup_machine() (cgroup.h) finds it.
struct CgroupMachine {
  std::set<std::string> controllers;      // enabled for the containers' cgroups
  std::uint32_t cpus = 1;                 // CPUs 0 to cpus-1 exist
  std::uint32_t memory_nodes = 1;         // NUMA nodes 0 to memory_nodes-1 exist
  bool swap_limit = true;                 // memory.swap.max exists
  bool io_weight = false;                 // io.weight exists (blk-iocost)
  bool io_bfq_weight = false;             // io.bfq.weight exists (the BFQ scheduler)
  std::set<std::string> huge_page_sizes;  // "2MB", as in the names of hugetlb.*.max
  friend bool operator==(const CgroupMachine&, const CgroupMachine&) = default;
};

// One write(2) to `file` in the container's cgroup directory. `field` is the OCI member it comes
// from ("/linux/resources/memory/limit"), for errors.
struct CgroupWrite {
  std::string file;
  std::string value;
  std::string field;
  friend bool operator==(const CgroupWrite&, const CgroupWrite&) = default;
};

// The writes in the order they must happen. invalid_argument names the field that is wrong or that
// this machine cannot enforce.
[[nodiscard]] Result<std::vector<CgroupWrite>> writes_for(const oci::Resources& resources,
                                                          const CgroupMachine& machine);

// `base` with every member that `update` gives replaced, as `runc update` merges: an unlimited
// memory limit without a swap value lifts the swap limit too. Lists are replaced as a whole when
// the update has any element.
[[nodiscard]] oci::Resources merged_resources(oci::Resources base, const oci::Resources& update);

// cgroup v1 cpu.shares (2..262144) as v2 cpu.weight (1..10000): the log-quadratic curve that runc
// uses since 1.3.2, which maps both ends and the two defaults (1024, 100) onto each other.
[[nodiscard]] std::uint64_t cpu_weight_of_shares(std::uint64_t shares);

// v1 blkio.weight (10..1000) as v2 io.weight (1..10000), linear, as runc does.
[[nodiscard]] std::uint64_t io_weight_of_blkio_weight(std::uint16_t weight);

}  // namespace agentvm::guest
