#include "runtime/vm_size.h"

#include <fmt/format.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <limits>
#include <optional>
#include <string_view>

#include "oci/base/try.h"
#include "vmm/machine_growth.h"

namespace agentvm::runtime {

namespace {

constexpr std::uint64_t kMib = 1024 * 1024;
constexpr std::uint64_t kDefaultPeriodUs = 100'000;

template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// 0: the annotation is not there.
Result<std::uint64_t> annotation_number(const oci::Spec& spec, const char* name,
                                        std::uint64_t most) {
  const auto found = spec.annotations.find(name);
  if (found == spec.annotations.end()) return 0;
  const auto number = parse_number<std::uint64_t>(found->second);
  if (!number || *number == 0 || *number > most) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("annotation '{}': expected a number of 1 to {}, found '{}'", name, most,
                            found->second));
  }
  return *number;
}

// How many CPUs "0-2,4" (cpuset(7)) names.
Result<std::uint64_t> count_cpus(const std::string& list) {
  constexpr std::uint64_t kMostCpus = 8192;
  std::uint64_t count = 0;
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t comma = std::min(list.find(',', at), list.size());
    const std::string_view part = std::string_view(list).substr(at, comma - at);
    at = comma + 1;
    const std::size_t dash = std::min(part.find('-'), part.size());
    const auto first = parse_number<std::uint32_t>(part.substr(0, dash));
    const auto last =
        dash == part.size() ? first : parse_number<std::uint32_t>(part.substr(dash + 1));
    if (!first || !last || *last < *first || *last >= kMostCpus) {
      return fail(
          ErrorKind::invalid_argument,
          fmt::format("/linux/resources/cpu/cpus: '{}' is not a list such as \"0-2,4\"", list));
    }
    count += *last - *first + 1;
  }
  return std::min(count, kMostCpus);
}

const oci::Resources* resources_of(const oci::Spec& spec) {
  return spec.linux_ && spec.linux_->resources ? &*spec.linux_->resources : nullptr;
}

std::uint32_t most_vcpus(const Config& config, const HostSize& host) {
  return config.vm.max_vcpus == 0 ? host.cpus : std::min(config.vm.max_vcpus, host.cpus);
}

// Of a VM when it starts.
std::uint64_t most_memory_mib(const Config& config, const HostSize& host) {
  if (host.memory_mib < kMinMemoryMib) return kMaxMemoryMib;
  return config.vm.max_memory_mib == 0 ? host.memory_mib
                                       : std::min(config.vm.max_memory_mib, host.memory_mib);
}

// Of one that runs.
Result<std::uint32_t> choose_vcpus(const oci::Spec& spec, const Config& config,
                                   const HostSize& host) {
  const std::uint32_t most = most_vcpus(config, host);
  const std::uint64_t asked = TRY(annotation_number(spec, kVcpusAnnotation, most));
  if (asked != 0) return static_cast<std::uint32_t>(asked);
  std::uint64_t wanted = config.vm.default_vcpus;
  const oci::Resources* resources = resources_of(spec);
  if (resources != nullptr && resources->cpu) {
    wanted = TRY(limited_cpus(*resources->cpu)).value_or(wanted);
  }
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(wanted, 1, most));
}

Result<std::uint64_t> wanted_memory_mib(const oci::Spec& spec, const Config& config) {
  const oci::Resources* resources = resources_of(spec);
  const std::int64_t limit = resources != nullptr && resources->memory
                                 ? resources->memory->limit.value_or(0)
                                 : std::int64_t{0};
  std::uint64_t wanted = config.vm.default_memory_mib;
  if (limit > 0) {
    const std::uint64_t limit_mib = static_cast<std::uint64_t>(limit - 1) / kMib + 1;
    wanted = limit_mib + config.vm.memory_overhead_mib;
    if (wanted < kMinMemoryMib) {
      return fail(
          ErrorKind::invalid_argument,
          fmt::format("memory limit {} MiB plus {} MiB of overhead is below the {} MiB "
                      "that a guest needs; raise the limit, or vm.memory_overhead_mib in {}",
                      limit_mib, config.vm.memory_overhead_mib, kMinMemoryMib, kConfigPath));
    }
  }
  return std::max(wanted, TRY(annotation_number(spec, kMemoryAnnotation, kMaxMemoryMib)));
}

}  // namespace

Result<HostSize> host_size() {
  struct sysinfo info{};
  if (::sysinfo(&info) != 0) return fail_errno(errno, "sysinfo");
  const long cpus = ::sysconf(_SC_NPROCESSORS_ONLN);
  HostSize size;
  size.cpus = static_cast<std::uint32_t>(std::clamp<long>(cpus, 1, 255));
  size.memory_mib = std::uint64_t{info.totalram} * info.mem_unit / kMib;
  return size;
}

Result<std::optional<std::uint64_t>> limited_cpus(const oci::CpuResources& cpu) {
  std::optional<std::uint64_t> limit;
  if (cpu.quota_us.value_or(0) > 0) {
    const auto quota = static_cast<std::uint64_t>(*cpu.quota_us);
    const std::uint64_t period = cpu.period_us.value_or(0) == 0 ? kDefaultPeriodUs : *cpu.period_us;
    limit = quota / period + (quota % period != 0 ? 1 : 0);
  }
  if (!cpu.cpus.empty()) {
    const std::uint64_t in_set = TRY(count_cpus(cpu.cpus));
    limit = std::min(limit.value_or(in_set), in_set);
  }
  return limit;
}

void reserve_growth(const Config& config, const HostSize& host, VmSize& size) {
  constexpr std::uint64_t kGib = 1024;
  std::uint64_t most = most_memory_mib(config, host);
  if (config.vm.max_memory_mib == 0) most = std::min(most / kGib * kGib, kMostReservedMib);
  std::uint32_t vcpus = most_vcpus(config, host);
  if (config.vm.max_vcpus == 0) vcpus = std::min(vcpus, kMostReservedVcpus);
  size.max_vcpus = std::max(size.vcpus, vcpus);
  size.max_memory_mib = size.memory_mib;
  if (most > size.memory_mib) {
    size.max_memory_mib += (most - size.memory_mib) / vmm::kMemoryStepMib * vmm::kMemoryStepMib;
  }
}

Result<VmSize> vm_size(const oci::Spec& spec, const Config& config, const HostSize& host) {
  VmSize size;
  size.vcpus = TRY(choose_vcpus(spec, config, host));
  size.memory_mib = TRY(wanted_memory_mib(spec, config));
  const std::uint64_t most = most_memory_mib(config, host);
  if (size.memory_mib > most && host.memory_mib >= kMinMemoryMib) {
    size.notes.push_back(fmt::format(
        "the VM gets {} MiB, all that {}, instead of {} MiB", most,
        most == host.memory_mib ? "the host has" : "vm.max_memory_mib allows", size.memory_mib));
    size.memory_mib = most;
  }
  if (size.memory_mib > kMaxMemoryMib) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("a VM of {} MiB is more than the {} MiB that are possible",
                            size.memory_mib, kMaxMemoryMib));
  }
  reserve_growth(config, host, size);
  return size;
}

}  // namespace agentvm::runtime
