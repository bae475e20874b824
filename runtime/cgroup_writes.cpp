#include "runtime/cgroup_writes.h"

#include <fmt/format.h>

#include <algorithm>

namespace agentvm::runtime {

namespace {

using Writes = std::vector<CgroupWrite>;

std::string text(std::int64_t value) {
  return value < 0 ? "max" : fmt::format("{}", value);
}

void add_throttles(Writes& writes, const std::vector<oci::ThrottleDevice>& devices,
                   const std::string& limit, std::string_view controller, const std::string& file,
                   std::string_view key) {
  for (const oci::ThrottleDevice& device : devices) {
    // v1: 0 takes the limit away. v2 says "max" for that, and "<key>=" before every value.
    const std::string rate =
        key.empty() || device.rate != 0 ? fmt::format("{}", device.rate) : "max";
    writes.push_back({std::string(controller),
                      limit,
                      {{file, fmt::format("{}:{} {}{}", device.major, device.minor, key, rate)}}});
  }
}

void add_block_io_v1(Writes& writes, const oci::BlockIoResources& io) {
  if (io.weight.value_or(0) != 0) {
    const std::string weight = fmt::format("{}", *io.weight);
    writes.push_back(
        {"blkio", "blockIO weight", {{"blkio.bfq.weight", weight}, {"blkio.weight", weight}}});
  }
  for (const oci::WeightDevice& device : io.weight_device) {
    if (device.weight.value_or(0) == 0) continue;
    const std::string weight = fmt::format("{}:{} {}", device.major, device.minor, *device.weight);
    writes.push_back({"blkio",
                      "blockIO weightDevice",
                      {{"blkio.bfq.weight_device", weight}, {"blkio.weight_device", weight}}});
  }
  add_throttles(writes, io.throttle_read_bps_device, "blockIO throttleReadBpsDevice", "blkio",
                "blkio.throttle.read_bps_device", "");
  add_throttles(writes, io.throttle_write_bps_device, "blockIO throttleWriteBpsDevice", "blkio",
                "blkio.throttle.write_bps_device", "");
  add_throttles(writes, io.throttle_read_iops_device, "blockIO throttleReadIOPSDevice", "blkio",
                "blkio.throttle.read_iops_device", "");
  add_throttles(writes, io.throttle_write_iops_device, "blockIO throttleWriteIOPSDevice", "blkio",
                "blkio.throttle.write_iops_device", "");
}

void add_block_io_v2(Writes& writes, const oci::BlockIoResources& io) {
  if (io.weight.value_or(0) != 0) {
    writes.push_back({"io",
                      "blockIO weight",
                      {{"io.bfq.weight", fmt::format("default {}", *io.weight)},
                       {"io.weight", fmt::format("default {}", io_weight_of_blkio(*io.weight))}}});
  }
  for (const oci::WeightDevice& device : io.weight_device) {
    if (device.weight.value_or(0) == 0) continue;
    const std::string number = fmt::format("{}:{}", device.major, device.minor);
    writes.push_back(
        {"io",
         "blockIO weightDevice",
         {{"io.bfq.weight", fmt::format("{} {}", number, *device.weight)},
          {"io.weight", fmt::format("{} {}", number, io_weight_of_blkio(*device.weight))}}});
  }
  add_throttles(writes, io.throttle_read_bps_device, "blockIO throttleReadBpsDevice", "io",
                "io.max", "rbps=");
  add_throttles(writes, io.throttle_write_bps_device, "blockIO throttleWriteBpsDevice", "io",
                "io.max", "wbps=");
  add_throttles(writes, io.throttle_read_iops_device, "blockIO throttleReadIOPSDevice", "io",
                "io.max", "riops=");
  add_throttles(writes, io.throttle_write_iops_device, "blockIO throttleWriteIOPSDevice", "io",
                "io.max", "wiops=");
}

// The same in both versions.
void add_cpuset_and_pids(Writes& writes, const HostLimits& limits) {
  if (!limits.cpus.empty()) {
    writes.push_back({"cpuset", "cpu cpus", {{"cpuset.cpus", limits.cpus}}});
  }
  if (!limits.mems.empty()) {
    writes.push_back({"cpuset", "cpu mems", {{"cpuset.mems", limits.mems}}});
  }
  if (limits.pids) writes.push_back({"pids", "pids limit", {{"pids.max", text(*limits.pids)}}});
}

}  // namespace

std::uint64_t cpu_weight_of_shares(std::uint64_t shares) {
  const std::uint64_t bounded = std::clamp<std::uint64_t>(shares, 2, 262'144);
  return 1 + (bounded - 2) * 9999 / 262'142;
}

std::uint64_t io_weight_of_blkio(std::uint64_t weight) {
  const std::uint64_t bounded = std::clamp<std::uint64_t>(weight, 10, 1000);
  return 1 + (bounded - 10) * 9999 / 990;
}

Writes plan_writes_v1(const HostLimits& limits) {
  Writes writes;
  const auto add = [&](std::string controller, std::string file, const auto& value,
                       std::string limit) {
    if (!value) return;
    writes.push_back(
        {std::move(controller), std::move(limit), {{std::move(file), fmt::format("{}", *value)}}});
  };
  // memsw may not be below the limit: the limit first, since both start without one.
  add("memory", "memory.limit_in_bytes", limits.memory, "memory limit");
  add("memory", "memory.memsw.limit_in_bytes", limits.memory_and_swap, "memory swap");
  add("memory", "memory.soft_limit_in_bytes", limits.memory_reservation, "memory reservation");
  add("cpu", "cpu.shares", limits.cpu_shares, "cpu shares");
  add("cpu", "cpu.idle", limits.cpu_idle, "cpu idle");
  add("cpu", "cpu.cfs_period_us", limits.cpu_period_us, "cpu period");
  add("cpu", "cpu.cfs_quota_us", limits.cpu_quota_us, "cpu quota");
  add("cpu", "cpu.cfs_burst_us", limits.cpu_burst_us, "cpu burst");
  add_cpuset_and_pids(writes, limits);
  if (limits.block_io) add_block_io_v1(writes, *limits.block_io);
  return writes;
}

Writes plan_writes_v2(const HostLimits& limits) {
  Writes writes;
  const auto add = [&](std::string controller, std::string file, std::string value,
                       std::string limit) {
    writes.push_back(
        {std::move(controller), std::move(limit), {{std::move(file), std::move(value)}}});
  };
  if (limits.memory) add("memory", "memory.max", text(*limits.memory), "memory limit");
  if (limits.memory_and_swap) {
    const std::int64_t both = *limits.memory_and_swap;
    add("memory", "memory.swap.max", both < 0 ? "max" : text(both - limits.memory.value_or(0)),
        "memory swap");
  }
  if (limits.memory_reservation) {
    add("memory", "memory.low", text(*limits.memory_reservation), "memory reservation");
  }
  if (limits.cpu_shares) {
    add("cpu", "cpu.weight", fmt::format("{}", cpu_weight_of_shares(*limits.cpu_shares)),
        "cpu shares");
  }
  if (limits.cpu_idle) add("cpu", "cpu.idle", text(*limits.cpu_idle), "cpu idle");
  if (limits.cpu_quota_us || limits.cpu_period_us) {
    // "max" alone keeps the period; a quota without a period keeps it too.
    std::string value = text(limits.cpu_quota_us.value_or(-1));
    if (limits.cpu_period_us) value += fmt::format(" {}", *limits.cpu_period_us);
    add("cpu", "cpu.max", std::move(value), "cpu quota");
  }
  if (limits.cpu_burst_us) {
    add("cpu", "cpu.max.burst", fmt::format("{}", *limits.cpu_burst_us), "cpu burst");
  }
  add_cpuset_and_pids(writes, limits);
  if (limits.block_io) add_block_io_v2(writes, *limits.block_io);
  return writes;
}

}  // namespace agentvm::runtime
