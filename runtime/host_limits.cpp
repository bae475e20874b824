#include "runtime/host_limits.h"

#include <fmt/format.h>

#include <limits>

namespace agentvm::runtime {

namespace {

constexpr std::int64_t kUnlimited = -1;
constexpr std::uint64_t kMib = 1024 * 1024;

// a + b, both not negative, at most what the kernel can be told.
std::int64_t add_capped(std::int64_t a, std::uint64_t b) {
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  if (b > static_cast<std::uint64_t>(kMost - a)) return kMost;
  return a + static_cast<std::int64_t>(b);
}

void plan_cpu(const oci::CpuResources& cpu, HostLimitsPlan& plan) {
  HostLimits& limits = plan.limits;
  // 0 means "not given" here, as in runc.
  if (cpu.shares.value_or(0) != 0) limits.cpu_shares = cpu.shares;
  if (cpu.quota_us.value_or(0) != 0) limits.cpu_quota_us = cpu.quota_us;
  if (cpu.period_us.value_or(0) != 0) limits.cpu_period_us = cpu.period_us;
  limits.cpu_burst_us = cpu.burst_us;
  limits.cpu_idle = cpu.idle;
  limits.cpus = cpu.cpus;
  limits.mems = cpu.mems;
  if (cpu.realtime_runtime_us || cpu.realtime_period_us) {
    plan.notes.emplace_back(
        "cpu realtimeRuntime and realtimePeriod have no effect: a VM's threads "
        "are not scheduled in real time");
  }
}

void plan_block_io(const oci::BlockIoResources& block_io, HostLimitsPlan& plan) {
  plan.limits.block_io = block_io;
  if (block_io.leaf_weight) {
    plan.notes.emplace_back("blockIO leafWeight has no effect: no current kernel has it");
  }
}

// What the guest alone can honour or nobody can; see docs/compatibility.md.
void note_what_is_left_out(const oci::Resources& resources, HostLimitsPlan& plan) {
  if (resources.network) {
    plan.notes.emplace_back(
        "network classID and priorities have no effect: the VM's packets are "
        "not sent by processes of the host");
  }
  if (!resources.rdma.empty()) {
    plan.notes.emplace_back("rdma limits have no effect: the VM has no RDMA devices");
  }
}

HostLimitsPlan plan_common(const oci::Resources& resources) {
  HostLimitsPlan plan;
  if (resources.cpu) plan_cpu(*resources.cpu, plan);
  if (resources.block_io) plan_block_io(*resources.block_io, plan);
  note_what_is_left_out(resources, plan);
  return plan;
}

}  // namespace

HostLimitsPlan plan_host_limits(const oci::Resources& resources, std::uint64_t vm_memory_mib,
                                std::uint64_t overhead_mib) {
  HostLimitsPlan plan = plan_common(resources);
  const std::int64_t ceiling = add_capped(0, (vm_memory_mib + overhead_mib) * kMib);
  plan.limits.memory = ceiling;
  if (!resources.memory) return plan;
  const oci::MemoryResources& memory = *resources.memory;
  if (memory.swap == kUnlimited) {
    plan.limits.memory_and_swap = kUnlimited;
  } else if (memory.swap.value_or(0) > 0 && memory.limit.value_or(0) > 0 &&
             *memory.swap >= *memory.limit) {
    // The part that is swap stays as asked for; the part that is memory grows with the VM.
    plan.limits.memory_and_swap =
        add_capped(ceiling, static_cast<std::uint64_t>(*memory.swap - *memory.limit));
  }
  if (memory.reservation.value_or(0) > 0) plan.limits.memory_reservation = memory.reservation;
  return plan;
}

HostLimitsPlan plan_host_update(const oci::Resources& resources) {
  HostLimitsPlan plan = plan_common(resources);
  plan.limits.pids.reset();
  if (resources.memory && resources.memory->reservation.value_or(0) > 0) {
    plan.limits.memory_reservation = resources.memory->reservation;
  }
  return plan;
}

}  // namespace agentvm::runtime
