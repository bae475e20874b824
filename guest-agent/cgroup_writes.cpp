#include "guest-agent/cgroup_writes.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

constexpr std::size_t kMaxUnifiedValue = 4096;

std::unexpected<Error> wrong(std::string_view field, std::string_view why) {
  return fail(ErrorKind::invalid_argument, fmt::format("/linux/resources/{}: {}", field, why));
}

// The writes so far, and what every field needs from the machine.
class Writes {
 public:
  explicit Writes(const CgroupMachine& machine) : machine_(machine) {}

  void add(std::string_view field, std::string file, std::string value) {
    writes_.push_back(
        {std::move(file), std::move(value), fmt::format("/linux/resources/{}", field)});
  }
  Result<void> need_controller(std::string_view field, const std::string& name) const {
    if (machine_.controllers.contains(name)) return {};
    return wrong(field, fmt::format("the guest's kernel has no '{}' cgroup controller", name));
  }
  [[nodiscard]] const CgroupMachine& machine() const { return machine_; }
  std::vector<CgroupWrite> take() { return std::move(writes_); }

 private:
  const CgroupMachine& machine_;
  std::vector<CgroupWrite> writes_;
};

// A v1 limit: none or 0 is "not given", -1 is "max", below that is nonsense.
Result<std::string> limit_text(std::string_view field, std::optional<std::int64_t> value) {
  if (!value || *value == 0) return std::string();
  if (*value == -1) return std::string("max");
  if (*value < 0) return wrong(field, fmt::format("{} is not a limit (-1 means none)", *value));
  return fmt::format("{}", *value);
}

// v1 counts memory plus swap in one limit, v2 swap alone.
Result<std::string> swap_text(std::int64_t limit, std::int64_t swap) {
  if (limit == -1 && swap == 0) return std::string("max");
  if (swap == 0) return std::string();
  if (swap == -1) return std::string("max");
  if (swap < 0) return wrong("memory/swap", fmt::format("{} is not a limit", swap));
  if (limit == -1) return fmt::format("{}", swap);
  if (limit == 0) return wrong("memory/swap", "a swap limit needs memory/limit too");
  if (swap < limit) return wrong("memory/swap", "memory plus swap is below memory/limit");
  return fmt::format("{}", swap - limit);
}

Result<void> refuse_v1_memory(const oci::MemoryResources& memory) {
  if (memory.swappiness) {
    return wrong("memory/swappiness", "cgroup v2 has no swappiness per cgroup");
  }
  if (memory.disable_oom_killer.value_or(false)) {
    return wrong("memory/disableOOMKiller", "cgroup v2 cannot disable the OOM killer");
  }
  if (!memory.use_hierarchy.value_or(true)) {
    return wrong("memory/useHierarchy", "cgroup v2 is always hierarchical");
  }
  return {};
}

Result<void> add_memory(Writes& writes, const oci::MemoryResources& memory) {
  TRY(refuse_v1_memory(memory));
  const std::string limit = TRY(limit_text("memory/limit", memory.limit));
  const std::string low = TRY(limit_text("memory/reservation", memory.reservation));
  const std::string swap = TRY(swap_text(memory.limit.value_or(0), memory.swap.value_or(0)));
  if (!swap.empty()) {
    TRY(writes.need_controller("memory/swap", "memory"));
    // Without swap accounting only a real allowance is a promise that cannot be kept.
    if (writes.machine().swap_limit) {
      writes.add("memory/swap", "memory.swap.max", swap);
    } else if (swap != "0" && swap != "max") {
      return wrong("memory/swap", "the guest's kernel has no swap accounting");
    }
  }
  if (!limit.empty()) {
    TRY(writes.need_controller("memory/limit", "memory"));
    writes.add("memory/limit", "memory.max", limit);
  }
  if (!low.empty()) {
    TRY(writes.need_controller("memory/reservation", "memory"));
    writes.add("memory/reservation", "memory.low", low);
  }
  return {};
}

Result<void> add_cpu_quota(Writes& writes, const oci::CpuResources& cpu) {
  const std::int64_t quota = cpu.quota_us.value_or(0);
  const std::uint64_t period = cpu.period_us.value_or(0);
  if (quota < -1) return wrong("cpu/quota", fmt::format("{} is not a quota", quota));
  const bool limited = quota != 0 || period != 0;
  if (!limited && !cpu.burst_us) return {};
  TRY(writes.need_controller("cpu/quota", "cpu"));
  // A burst may not exceed the quota, before or after: clear it around the change.
  if (cpu.burst_us) writes.add("cpu/burst", "cpu.max.burst", "0");
  if (limited) {
    writes.add(quota != 0 ? "cpu/quota" : "cpu/period", "cpu.max",
               fmt::format("{} {}", quota > 0 ? fmt::format("{}", quota) : "max",
                           period != 0 ? period : 100000));
  }
  if (cpu.burst_us.value_or(0) != 0) {
    writes.add("cpu/burst", "cpu.max.burst", fmt::format("{}", *cpu.burst_us));
  }
  return {};
}

Result<void> add_cpu(Writes& writes, const oci::CpuResources& cpu) {
  if (cpu.realtime_runtime_us.value_or(0) != 0) {
    return wrong("cpu/realtimeRuntime", "cgroup v2 has no realtime limits");
  }
  if (cpu.realtime_period_us.value_or(0) != 0) {
    return wrong("cpu/realtimePeriod", "cgroup v2 has no realtime limits");
  }
  // The weight goes first: an idle cgroup refuses one.
  if (cpu.shares.value_or(0) != 0) {
    TRY(writes.need_controller("cpu/shares", "cpu"));
    writes.add("cpu/shares", "cpu.weight", fmt::format("{}", cpu_weight_of_shares(*cpu.shares)));
  }
  if (cpu.idle) {
    if (*cpu.idle != 0 && *cpu.idle != 1) return wrong("cpu/idle", "must be 0 or 1");
    TRY(writes.need_controller("cpu/idle", "cpu"));
    writes.add("cpu/idle", "cpu.idle", fmt::format("{}", *cpu.idle));
  }
  return add_cpu_quota(writes, cpu);
}

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "0-2,4" (cpuset(7)), every number below `count`.
Result<void> check_set(std::string_view field, std::string_view list, std::uint32_t count) {
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t comma = std::min(list.find(',', at), list.size());
    const std::string_view part = list.substr(at, comma - at);
    at = comma + 1;
    const std::size_t dash = std::min(part.find('-'), part.size());
    const auto first = number(part.substr(0, dash));
    const auto last = dash == part.size() ? first : number(part.substr(dash + 1));
    if (!first || !last || *last < *first) {
      return wrong(field, fmt::format("'{}' is not a list such as \"0-2,4\"", list));
    }
    if (*last >= count) {
      return wrong(field, fmt::format("{} does not exist: the guest has 0-{}", *last, count - 1));
    }
  }
  return {};
}

Result<void> add_cpuset(Writes& writes, const oci::CpuResources& cpu) {
  if (!cpu.cpus.empty()) {
    TRY(writes.need_controller("cpu/cpus", "cpuset"));
    TRY(check_set("cpu/cpus", cpu.cpus, writes.machine().cpus));
    writes.add("cpu/cpus", "cpuset.cpus", cpu.cpus);
  }
  if (!cpu.mems.empty()) {
    TRY(writes.need_controller("cpu/mems", "cpuset"));
    TRY(check_set("cpu/mems", cpu.mems, writes.machine().memory_nodes));
    writes.add("cpu/mems", "cpuset.mems", cpu.mems);
  }
  return {};
}

Result<void> add_pids(Writes& writes, std::optional<std::int64_t> limit) {
  const std::string text = TRY(limit_text("pids/limit", limit));
  if (text.empty()) return {};
  TRY(writes.need_controller("pids/limit", "pids"));
  writes.add("pids/limit", "pids.max", text);
  return {};
}

Result<std::string> device_name(std::string_view field, std::int64_t major, std::int64_t minor) {
  if (major < 0 || minor < 0) return wrong(field, "major and minor may not be negative");
  return fmt::format("{}:{}", major, minor);
}

Result<void> check_io_weight(std::string_view field, std::uint16_t weight) {
  if (weight >= 10 && weight <= 1000) return {};
  return wrong(field, fmt::format("{} is not within 10 to 1000", weight));
}

// The file that takes weights and the value for one of v1: BFQ keeps v1's scale.
Result<std::pair<std::string, std::uint64_t>> io_weight(Writes& writes, std::string_view field,
                                                        std::uint16_t weight) {
  TRY(check_io_weight(field, weight));
  TRY(writes.need_controller(field, "io"));
  if (writes.machine().io_bfq_weight) {
    return std::pair(std::string("io.bfq.weight"), std::uint64_t{weight});
  }
  if (!writes.machine().io_weight) {
    return wrong(field, "the guest's kernel has no I/O weights (neither BFQ nor iocost)");
  }
  return std::pair(std::string("io.weight"), io_weight_of_blkio_weight(weight));
}

Result<void> add_io_weights(Writes& writes, const oci::BlockIoResources& io) {
  if (io.leaf_weight.value_or(0) != 0) {
    return wrong("blockIO/leafWeight", "cgroup v2 has no leaf weights");
  }
  if (io.weight.value_or(0) != 0) {
    const auto [file, value] = TRY(io_weight(writes, "blockIO/weight", *io.weight));
    writes.add("blockIO/weight", file, fmt::format("{}", value));
  }
  constexpr std::string_view kField = "blockIO/weightDevice";
  for (const oci::WeightDevice& device : io.weight_device) {
    if (device.leaf_weight.value_or(0) != 0) return wrong(kField, "cgroup v2 has no leaf weights");
    const std::string name = TRY(device_name(kField, device.major, device.minor));
    if (device.weight.value_or(0) == 0) continue;
    const auto [file, value] = TRY(io_weight(writes, kField, *device.weight));
    writes.add(kField, file, fmt::format("{} {}", name, value));
  }
  return {};
}

Result<void> add_throttles(Writes& writes, std::string_view field, std::string_view key,
                           const std::vector<oci::ThrottleDevice>& devices) {
  for (const oci::ThrottleDevice& device : devices) {
    TRY(writes.need_controller(field, "io"));
    const std::string name = TRY(device_name(field, device.major, device.minor));
    // v1 takes a rate of 0 as "no limit", v2 refuses it.
    const std::string rate = device.rate == 0 ? "max" : fmt::format("{}", device.rate);
    writes.add(field, "io.max", fmt::format("{} {}={}", name, key, rate));
  }
  return {};
}

Result<void> add_io(Writes& writes, const oci::BlockIoResources& io) {
  TRY(add_io_weights(writes, io));
  TRY(add_throttles(writes, "blockIO/throttleReadBpsDevice", "rbps", io.throttle_read_bps_device));
  TRY(add_throttles(writes, "blockIO/throttleWriteBpsDevice", "wbps",
                    io.throttle_write_bps_device));
  TRY(add_throttles(writes, "blockIO/throttleReadIOPSDevice", "riops",
                    io.throttle_read_iops_device));
  return add_throttles(writes, "blockIO/throttleWriteIOPSDevice", "wiops",
                       io.throttle_write_iops_device);
}

bool is_page_size(std::string_view size) {
  const std::size_t digits = std::min(size.find_first_not_of("0123456789"), size.size());
  const std::string_view unit = size.substr(digits);
  return digits > 0 && digits <= 6 && (unit == "KB" || unit == "MB" || unit == "GB");
}

Result<void> add_huge_pages(Writes& writes, const std::vector<oci::HugepageLimit>& limits) {
  constexpr std::string_view kField = "hugepageLimits";
  for (const oci::HugepageLimit& limit : limits) {
    if (!is_page_size(limit.page_size)) {
      return wrong(kField, fmt::format("page size '{}' is not like \"2MB\"", limit.page_size));
    }
    // Kubernetes limits every size its host knows. Pages of a size that the guest lacks cannot be
    // had at all, so any limit on them holds.
    if (!writes.machine().huge_page_sizes.contains(limit.page_size)) continue;
    TRY(writes.need_controller(kField, "hugetlb"));
    writes.add(kField, fmt::format("hugetlb.{}.max", limit.page_size),
               fmt::format("{}", limit.limit));
    // Reservations count too: without this a container could reserve all pages and use none.
    writes.add(kField, fmt::format("hugetlb.{}.rsvd.max", limit.page_size),
               fmt::format("{}", limit.limit));
  }
  return {};
}

Result<void> add_rdma(Writes& writes, const std::map<std::string, oci::RdmaLimit>& limits) {
  for (const auto& [device, limit] : limits) {
    if (device.empty() || device.size() > 64 ||
        device.find_first_of(std::string_view(" \t\n\0", 4)) != std::string::npos) {
      return wrong("rdma", fmt::format("'{}' is not a device name", device));
    }
    TRY(writes.need_controller("rdma", "rdma"));
    std::string value = device;
    if (limit.hca_handles) value += fmt::format(" hca_handle={}", *limit.hca_handles);
    if (limit.hca_objects) value += fmt::format(" hca_object={}", *limit.hca_objects);
    if (value != device) writes.add("rdma", "rdma.max", value);
  }
  return {};
}

Result<void> refuse_network(const oci::NetworkResources& network) {
  if (network.class_id.value_or(0) != 0) {
    return wrong("network/classID", "cgroup v2 has no net_cls");
  }
  if (!network.priorities.empty()) return wrong("network/priorities", "cgroup v2 has no net_prio");
  return {};
}

// The core's own files move, kill or freeze processes; only these three limit something.
bool is_core_limit(std::string_view file) {
  return file == "cgroup.max.depth" || file == "cgroup.max.descendants" ||
         file == "cgroup.pressure";
}

Result<void> add_unified(Writes& writes, const std::map<std::string, std::string>& unified) {
  for (const auto& [file, value] : unified) {
    const std::string field = fmt::format("unified/{}", file);
    const std::size_t dot = file.find('.');
    if (dot == 0 || dot == std::string::npos || file.size() > 255 ||
        file.find_first_of(std::string_view("/\0", 2)) != std::string::npos) {
      return wrong(field, "must be the name of a cgroup v2 file, without slashes");
    }
    if (value.size() > kMaxUnifiedValue) return wrong(field, "the value is too long");
    const std::string controller = file.substr(0, dot);
    if (controller == "cgroup") {
      if (!is_core_limit(file)) return wrong(field, "is the runtime's own");
    } else {
      TRY(writes.need_controller(field, controller));
    }
    writes.add(field, file, value);
  }
  return {};
}

}  // namespace

std::uint64_t cpu_weight_of_shares(std::uint64_t shares) {
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  const double log = std::log2(static_cast<double>(shares));
  const double exponent = (log * log + 125 * log) / 612.0 - 7.0 / 34.0;
  return static_cast<std::uint64_t>(std::ceil(std::pow(10, exponent)));
}

std::uint64_t io_weight_of_blkio_weight(std::uint16_t weight) {
  if (weight <= 10) return 1;
  return 1 + (std::uint64_t{weight} - 10) * 9999 / 990;
}

Result<std::vector<CgroupWrite>> writes_for(const oci::Resources& resources,
                                            const CgroupMachine& machine) {
  Writes writes(machine);
  if (resources.cpu) {
    TRY(add_cpuset(writes, *resources.cpu));
    TRY(add_cpu(writes, *resources.cpu));
  }
  if (resources.memory) TRY(add_memory(writes, *resources.memory));
  TRY(add_pids(writes, resources.pids_limit));
  if (resources.block_io) TRY(add_io(writes, *resources.block_io));
  TRY(add_huge_pages(writes, resources.hugepage_limits));
  TRY(add_rdma(writes, resources.rdma));
  if (resources.network) TRY(refuse_network(*resources.network));
  TRY(add_unified(writes, resources.unified));
  return writes.take();
}

}  // namespace agentvm::guest
