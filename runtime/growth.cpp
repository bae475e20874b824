#include "runtime/growth.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "oci/base/text.h"
#include "oci/base/try.h"
#include "runtime/vm_size.h"

namespace agentvm::runtime {

namespace {

constexpr std::uint64_t kMib = 1024 * 1024;

template <class Number>
bool take_number(std::string_view text, Number& number) {
  const char* end = text.data() + text.size();
  const auto [rest, code] = std::from_chars(text.data(), end, number);
  return code == std::errc() && rest == end;
}

// 0: no limit is set.
std::uint64_t limit_mib(const oci::Resources& resources) {
  const std::int64_t limit = resources.memory ? resources.memory->limit.value_or(0) : 0;
  return limit <= 0 ? 0 : (static_cast<std::uint64_t>(limit) - 1) / kMib + 1;
}

}  // namespace

Result<std::optional<GrowthPlan>> plan_growth(const oci::Resources& resources, const VmRecord& vm,
                                              std::uint64_t overhead_mib) {
  const std::uint64_t memory = limit_mib(resources);
  const std::uint64_t most_memory = std::max(vm.max_memory_mib, vm.memory_mib);
  if (memory > most_memory) {
    return fail(
        ErrorKind::invalid_argument,
        fmt::format("memory limit of {} MiB is above the {} MiB that the container's VM can "
                    "grow to, as decided when it was created (vm.max_memory_mib in {}, the "
                    "host's memory): choose a lower limit, or create the container anew",
                    memory, most_memory, kConfigPath));
  }
  GrowthPlan plan;
  plan.total.memory_mib =
      std::clamp(memory == 0 ? 0 : memory + overhead_mib, vm.memory_mib, most_memory);
  std::uint64_t vcpus = 0;
  if (resources.cpu) vcpus = TRY(limited_cpus(*resources.cpu)).value_or(0);
  plan.total.vcpus = static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(vcpus, vm.vcpus, std::max(vm.max_vcpus, vm.vcpus)));
  if (plan.total == vmm::MachineSize{vm.vcpus, vm.memory_mib}) return std::nullopt;
  plan.needed = plan.total.vcpus > vm.vcpus || memory > vm.memory_mib;
  return plan;
}

std::string write_size(const vmm::MachineSize& size) {
  return fmt::format("{} {}", size.vcpus, size.memory_mib);
}

Result<vmm::MachineSize> parse_size(std::string_view text) {
  vmm::MachineSize size;
  const auto words = split(text, " ");
  if (words.size() != 2 || !take_number(words[0], size.vcpus) ||
      !take_number(words[1], size.memory_mib) || size.memory_mib > kMaxMemoryMib) {
    return fail(ErrorKind::invalid_argument, fmt::format("'{}' is no size of a VM", text));
  }
  return size;
}

}  // namespace agentvm::runtime
