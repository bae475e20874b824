// From the limits of a container to those of its VM on the host. Pure.
//
// The guest enforces the container's limits on the container; the host enforces here what the VM
// as a whole (QEMU, virtiofsd, vsock backend, stand-ins) may take, so that a guest that broke its
// own kernel, or QEMU itself, still has a ceiling.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "oci/spec.h"

namespace agentvm::runtime {

// More threads than a VM of any size needs, far fewer than a host has.
inline constexpr std::int64_t kPidsCeiling = 4096;

struct HostLimits {
  // Bytes: all of the VM's memory plus the overhead of its processes. Set for every VM, also where
  // the container has no limit: a VM has its size anyway.
  std::optional<std::int64_t> memory;
  std::optional<std::int64_t> memory_and_swap;     // bytes, as cgroup v1 counts; -1: no limit
  std::optional<std::int64_t> memory_reservation;  // bytes
  std::optional<std::uint64_t> cpu_shares;         // cgroup v1's scale, 2 to 262144
  std::optional<std::int64_t> cpu_quota_us;        // -1: no limit
  std::optional<std::uint64_t> cpu_period_us;
  std::optional<std::uint64_t> cpu_burst_us;
  std::optional<std::int64_t> cpu_idle;
  std::string cpus;  // of the host
  std::string mems;
  std::optional<std::int64_t> pids = kPidsCeiling;
  // Devices and weights as the spec has them: block devices are the host's.
  std::optional<oci::BlockIoResources> block_io;
  friend bool operator==(const HostLimits&, const HostLimits&) = default;
};

struct HostLimitsPlan {
  HostLimits limits;
  std::vector<std::string> notes;  // what of the resources has no effect on the host, and where
};

// `vm_memory_mib` is the VM's memory, `overhead_mib` CgroupConfig::memory_overhead_mib.
[[nodiscard]] HostLimitsPlan plan_host_limits(const oci::Resources& resources,
                                              std::uint64_t vm_memory_mib,
                                              std::uint64_t overhead_mib);

// As plan_host_limits(), for `agentvm update`: only what `resources` gives is set; memory stays as
// it is, since it follows the VM's size (container/grow.h) and the guest enforces the limit itself.
[[nodiscard]] HostLimitsPlan plan_host_update(const oci::Resources& resources);

}  // namespace agentvm::runtime
