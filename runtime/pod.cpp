#include "runtime/pod.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <string_view>

#include "oci/base/try.h"
#include "oci/spec_words.h"
#include "runtime/vm_size.h"

namespace agentvm::runtime {

namespace {

constexpr std::uint64_t kMib = 1024 * 1024;
constexpr std::uint64_t kDefaultPeriodUs = 100'000;

// containerd, internal/cri/annotations; CRI-O, pkg/annotations, which Podman writes too.
struct Dialect {
  const char* type;
  const char* sandbox_id;
};
constexpr std::array kDialects{
    Dialect{"io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id"},
    Dialect{"io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID"}};

// Of every container of Podman's (libpod, pkg/annotations).
constexpr const char* kOwner = "io.container.manager";
constexpr const char* kPodman = "libpod";

constexpr const char* kPodCpuQuota = "io.kubernetes.cri.sandbox-cpu-quota";
constexpr const char* kPodCpuPeriod = "io.kubernetes.cri.sandbox-cpu-period";
constexpr const char* kPodCpuShares = "io.kubernetes.cri.sandbox-cpu-shares";
constexpr const char* kPodMemory = "io.kubernetes.cri.sandbox-memory";

using Annotations = std::map<std::string, std::string>;

Result<std::optional<PodPlace>> place_of(const Dialect& dialect, const Annotations& annotations) {
  const auto type = annotations.find(dialect.type);
  if (type == annotations.end()) return std::nullopt;
  if (type->second == "sandbox") return PodPlace{PodRole::sandbox, ""};
  if (type->second != "container") {
    return fail(ErrorKind::invalid_argument,
                fmt::format("annotation '{}': expected 'sandbox' or 'container', found '{}'",
                            dialect.type, type->second));
  }
  const auto sandbox = annotations.find(dialect.sandbox_id);
  if (sandbox == annotations.end() || sandbox->second.empty()) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("annotation '{}' is missing: it names the sandbox whose VM the "
                            "container is to live in",
                            dialect.sandbox_id));
  }
  return PodPlace{PodRole::member, sandbox->second};
}

// Nothing where it is missing or 0, which is how containerd says that there is no such limit.
Result<std::optional<std::int64_t>> number_of(const Annotations& annotations, const char* name) {
  const auto found = annotations.find(name);
  if (found == annotations.end()) return std::nullopt;
  const std::string& text = found->second;
  std::int64_t number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc() || end != text.data() + text.size() || number < -1) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("annotation '{}': expected a number, found '{}'", name, text));
  }
  if (number <= 0) return std::nullopt;
  return number;
}

std::optional<std::uint64_t> as_unsigned(std::optional<std::int64_t> number) {
  if (!number) return std::nullopt;
  return static_cast<std::uint64_t>(*number);
}

// "/proc/4711/ns/ipc" for the type ipc: 4711.
std::optional<pid_t> process_of(const oci::Namespace& entry) {
  std::string_view type;
  for (const auto& [word, value] : oci::json_words(entry.type)) {
    if (value == entry.type) type = word;
  }
  constexpr std::string_view kStart = "/proc/";
  const std::string end = fmt::format("/ns/{}", type);
  std::string_view path = entry.path;
  if (!path.starts_with(kStart) || !path.ends_with(end)) return std::nullopt;
  if (path.size() <= kStart.size() + end.size()) return std::nullopt;
  path = path.substr(kStart.size(), path.size() - kStart.size() - end.size());
  pid_t pid = 0;
  const auto [rest, code] = std::from_chars(path.data(), path.data() + path.size(), pid);
  if (code != std::errc() || rest != path.data() + path.size() || pid <= 0) return std::nullopt;
  return pid;
}

bool can_be_shared(oci::NamespaceType type) {
  return type == oci::NamespaceType::ipc || type == oci::NamespaceType::uts ||
         type == oci::NamespaceType::pid;
}

}  // namespace

Result<PodPlace> pod_place(const Annotations& annotations) {
  std::optional<PodPlace> place;
  for (const Dialect& dialect : kDialects) {
    const auto said = TRY(place_of(dialect, annotations));
    if (said && place && *said != *place) {
      return fail(ErrorKind::invalid_argument,
                  fmt::format("annotations '{}' and '{}' contradict each other", kDialects[0].type,
                              dialect.type));
    }
    if (said) place = said;
  }
  if (place) return *std::move(place);
  const auto owner = annotations.find(kOwner);
  const bool podman = owner != annotations.end() && owner->second == kPodman;
  return PodPlace{podman ? PodRole::open : PodRole::alone, ""};
}

Result<oci::Resources> sandbox_resources(const oci::Spec& spec) {
  oci::Resources resources;
  if (spec.linux_ && spec.linux_->resources) resources = *spec.linux_->resources;
  const auto memory = TRY(number_of(spec.annotations, kPodMemory));
  const auto quota = TRY(number_of(spec.annotations, kPodCpuQuota));
  const auto period = TRY(number_of(spec.annotations, kPodCpuPeriod));
  const auto shares = TRY(number_of(spec.annotations, kPodCpuShares));
  if (!resources.cpu) resources.cpu.emplace();
  // Of the pod or of nobody: the least there are, which a sandbox's first container has, are meant
  // for one that does nothing.
  resources.cpu->shares = as_unsigned(shares);
  if (quota) {
    resources.cpu->quota_us = quota;
    resources.cpu->period_us = as_unsigned(period);
  }
  if (memory) {
    if (!resources.memory) resources.memory.emplace();
    constexpr auto kLeast = static_cast<std::int64_t>(kMinMemoryMib * kMib);
    resources.memory->limit = std::max(*memory, kLeast);
    resources.memory->swap.reset();
  }
  return resources;
}

std::vector<PodNamespace> take_pod_namespaces(oci::Spec& spec, std::span<const Fellow> fellows) {
  std::vector<PodNamespace> taken;
  if (!spec.linux_) return taken;
  for (oci::Namespace& entry : spec.linux_->namespaces) {
    if (!can_be_shared(entry.type)) continue;
    const auto pid = process_of(entry);
    if (!pid) continue;
    const auto fellow = std::ranges::find(fellows, *pid, &Fellow::stand_in);
    if (fellow == fellows.end()) continue;
    taken.push_back({entry.type, fellow->container_id});
    entry.path.clear();
  }
  return taken;
}

Result<PodDemand> pod_demand(const oci::Resources& resources) {
  PodDemand demand;
  if (resources.memory && resources.memory->limit.value_or(0) > 0) {
    demand.memory_mib = (static_cast<std::uint64_t>(*resources.memory->limit) - 1) / kMib + 1;
  }
  if (!resources.cpu) return demand;
  const oci::CpuResources& cpu = *resources.cpu;
  constexpr std::uint64_t kMostMillis = 8192 * 1000;
  if (!cpu.cpus.empty()) {
    demand.cpu_millis = TRY(limited_cpus(cpu)).value_or(0) * 1000;
  } else if (cpu.quota_us.value_or(0) > 0) {
    const std::uint64_t period = cpu.period_us.value_or(0) == 0 ? kDefaultPeriodUs : *cpu.period_us;
    const auto quota = static_cast<std::uint64_t>(*cpu.quota_us);
    demand.cpu_millis = quota > std::numeric_limits<std::uint64_t>::max() / 1000
                            ? kMostMillis
                            : quota * 1000 / period;
  }
  demand.cpu_millis = std::min(demand.cpu_millis, kMostMillis);
  return demand;
}

vmm::MachineSize pod_size(std::span<const PodDemand> members, const VmRecord& vm,
                          const VmConfig& config) {
  std::uint64_t memory_mib = 0;
  std::uint64_t cpu_millis = 0;
  bool unlimited = false;
  for (const PodDemand& member : members) {
    // One that wants more than any VM has is as good as one that wants all of it.
    memory_mib = std::min(memory_mib + std::min(member.memory_mib, kMaxMemoryMib), kMaxMemoryMib);
    cpu_millis += member.cpu_millis;
    unlimited = unlimited || member.memory_mib == 0;
  }
  memory_mib += unlimited ? config.default_memory_mib : config.memory_overhead_mib;
  vmm::MachineSize size;
  size.memory_mib =
      std::clamp(memory_mib, vm.memory_mib, std::max(vm.max_memory_mib, vm.memory_mib));
  size.vcpus = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
      (cpu_millis + 999) / 1000, vm.vcpus, std::max(vm.max_vcpus, vm.vcpus)));
  return size;
}

}  // namespace agentvm::runtime
