// merged_resources(): an update's members over those a container already has.
#include <optional>
#include <utility>

#include "guest-agent/cgroup_writes.h"

namespace agentvm::guest {

namespace {

template <class T>
void take(T& base, const T& update) {
  if (update != T()) base = update;
}

// Docker sends 0 for the numbers that its user did not give.
template <class T>
void take_number(std::optional<T>& base, const std::optional<T>& update) {
  if (update.value_or(0) != 0) base = update;
}

void take_memory(oci::MemoryResources& base, const oci::MemoryResources& update) {
  take_number(base.limit, update.limit);
  take_number(base.reservation, update.reservation);
  take_number(base.swap, update.swap);
  take(base.kernel, update.kernel);
  take(base.kernel_tcp, update.kernel_tcp);
  take(base.swappiness, update.swappiness);
  take(base.disable_oom_killer, update.disable_oom_killer);
  take(base.use_hierarchy, update.use_hierarchy);
  // Asked for each update anew.
  base.check_before_update = update.check_before_update;
  if (update.limit == -1 && update.swap.value_or(0) == 0) base.swap = -1;
}

void take_cpu(oci::CpuResources& base, const oci::CpuResources& update) {
  take_number(base.shares, update.shares);
  take_number(base.quota_us, update.quota_us);
  take(base.burst_us, update.burst_us);
  take_number(base.period_us, update.period_us);
  take(base.realtime_runtime_us, update.realtime_runtime_us);
  take(base.realtime_period_us, update.realtime_period_us);
  take(base.cpus, update.cpus);
  take(base.mems, update.mems);
  take(base.idle, update.idle);
}

void take_block_io(oci::BlockIoResources& base, const oci::BlockIoResources& update) {
  take(base.weight, update.weight);
  take(base.leaf_weight, update.leaf_weight);
  take(base.weight_device, update.weight_device);
  take(base.throttle_read_bps_device, update.throttle_read_bps_device);
  take(base.throttle_write_bps_device, update.throttle_write_bps_device);
  take(base.throttle_read_iops_device, update.throttle_read_iops_device);
  take(base.throttle_write_iops_device, update.throttle_write_iops_device);
}

}  // namespace

oci::Resources merged_resources(oci::Resources base, const oci::Resources& update) {
  take(base.devices, update.devices);
  if (update.memory)
    take_memory(base.memory.emplace(base.memory.value_or(oci::MemoryResources{})), *update.memory);
  if (update.cpu) take_cpu(base.cpu.emplace(base.cpu.value_or(oci::CpuResources{})), *update.cpu);
  take_number(base.pids_limit, update.pids_limit);
  if (update.block_io) {
    take_block_io(base.block_io.emplace(base.block_io.value_or(oci::BlockIoResources{})),
                  *update.block_io);
  }
  take(base.hugepage_limits, update.hugepage_limits);
  take(base.network, update.network);
  take(base.rdma, update.rdma);
  for (const auto& [file, value] : update.unified) base.unified[file] = value;
  return base;
}

}  // namespace agentvm::guest
