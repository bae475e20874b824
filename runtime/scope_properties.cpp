#include "runtime/scope_properties.h"

#include <limits>

#include "runtime/cgroup_writes.h"

namespace agentvm::runtime {

namespace {

constexpr std::uint64_t kInfinity = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kDefaultPeriodUs = 100'000;

std::uint64_t bytes(std::int64_t value) {
  return value < 0 ? kInfinity : static_cast<std::uint64_t>(value);
}

// Microseconds of CPU per second, in steps of 10 ms, which is what systemd keeps.
std::uint64_t quota_per_second(std::int64_t quota_us, std::uint64_t period_us) {
  if (quota_us < 0) return kInfinity;
  constexpr std::uint64_t kSecond = 1'000'000;
  constexpr std::uint64_t kStep = 10'000;
  const auto per_second = static_cast<unsigned __int128>(quota_us) * kSecond / period_us;
  const auto rounded = (per_second + kStep - 1) / kStep * kStep;
  return rounded >= kInfinity ? kInfinity : static_cast<std::uint64_t>(rounded);
}

}  // namespace

std::vector<ScopeProperty> limit_properties(const HostLimits& limits, bool v2) {
  std::vector<ScopeProperty> properties;
  if (limits.memory) {
    properties.push_back({v2 ? "MemoryMax" : "MemoryLimit", bytes(*limits.memory)});
  }
  if (limits.memory_and_swap && v2) {
    const std::int64_t both = *limits.memory_and_swap;
    properties.push_back(
        {"MemorySwapMax", bytes(both < 0 ? both : both - limits.memory.value_or(0))});
  }
  if (limits.memory_reservation && v2) {
    properties.push_back({"MemoryLow", bytes(*limits.memory_reservation)});
  }
  if (limits.cpu_shares) {
    properties.push_back({v2 ? "CPUWeight" : "CPUShares",
                          v2 ? cpu_weight_of_shares(*limits.cpu_shares) : *limits.cpu_shares});
  }
  if (limits.cpu_quota_us) {
    properties.push_back(
        {"CPUQuotaPerSecUSec",
         quota_per_second(*limits.cpu_quota_us, limits.cpu_period_us.value_or(kDefaultPeriodUs))});
  }
  if (limits.pids) properties.push_back({"TasksMax", bytes(*limits.pids)});
  return properties;
}

std::vector<ScopeProperty> scope_properties(const std::string& slice,
                                            const std::string& description,
                                            const HostLimits& limits, bool v2) {
  std::vector<ScopeProperty> properties{
      {"Description", description},
      {"Slice", slice},
      {"Delegate", true},  // what is below is ours: systemd does not move or limit it
      {"DefaultDependencies", false},
      {"CPUAccounting", true},
      {"MemoryAccounting", true},
      {"TasksAccounting", true},
      {v2 ? "IOAccounting" : "BlockIOAccounting", true},
  };
  for (ScopeProperty& property : limit_properties(limits, v2)) {
    properties.push_back(std::move(property));
  }
  return properties;
}

}  // namespace agentvm::runtime
