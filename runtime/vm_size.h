// How big a container's VM is, and which settings a bundle may choose for its own VM. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "oci/base/error.h"
#include "oci/spec.h"
#include "runtime/config.h"

namespace agentvm::runtime {

// The least in which the guest's kernel, the agent and a small program run.
inline constexpr std::uint64_t kMinMemoryMib = 80;
inline constexpr std::uint64_t kMaxMemoryMib = 1024 * 1024;
// What a VM can grow to unless the configuration says more. A vCPU that may come takes 0.2 MiB of
// the guest; some processors have no more than 39 bits of address.
inline constexpr std::uint32_t kMostReservedVcpus = 8;
inline constexpr std::uint64_t kMostReservedMib = 256 * 1024;

struct VmSize {
  std::uint32_t vcpus = 1;
  std::uint64_t memory_mib = 0;
  std::uint32_t max_vcpus = 0;  // what a running VM can grow to
  std::uint64_t max_memory_mib = 0;
  std::vector<std::string> notes;  // where the host has less than was asked for: for the log
  friend bool operator==(const VmSize&, const VmSize&) = default;
};

struct HostSize {
  std::uint32_t cpus = 1;
  std::uint64_t memory_mib = 0;
};
[[nodiscard]] Result<HostSize> host_size();

// vcpus: the annotation io.agentvm.vcpus, else quota/period rounded up and the number of CPUs in
// the cpuset, the lesser where both are given, else vm.default_vcpus. A limit that is more than
// vm.max_vcpus or the host's CPUs is cut to that; an annotation is refused.
// memory: the container's limit plus vm.memory_overhead_mib, else vm.default_memory_mib; rounded
// up to MiB, not more than the host has or vm.max_memory_mib. The annotation io.agentvm.memory_mib
// is a lower bound. invalid_argument outside kMinMemoryMib and kMaxMemoryMib. What it can grow to:
// vm.max_vcpus and vm.max_memory_mib, without them what the host has, of memory in whole GiB (a
// kernel that takes a page more for itself asks for no other template), up to kMostReservedVcpus
// and kMostReservedMib.
[[nodiscard]] Result<VmSize> vm_size(const oci::Spec& spec, const Config& config,
                                     const HostSize& host);

// Sets what a VM of that size can grow to.
void reserve_growth(const Config& config, const HostSize& host, VmSize& size);

// How many vCPUs the limits let a container use at once; nothing when they set no bound.
[[nodiscard]] Result<std::optional<std::uint64_t>> limited_cpus(const oci::CpuResources& cpu);

// The annotations that a bundle may carry where security.allowed_annotations lists them.
inline constexpr const char* kAnnotationPrefix = "io.agentvm.";
inline constexpr const char* kVcpusAnnotation = "io.agentvm.vcpus";
inline constexpr const char* kMemoryAnnotation = "io.agentvm.memory_mib";
inline constexpr const char* kAcceleratorAnnotation = "io.agentvm.accelerator";
inline constexpr const char* kKernelParametersAnnotation = "io.agentvm.kernel_parameters";

// `config` with what the bundle's annotations and vm section choose, for a spec that
// check_supported() let pass; origins say so. invalid_argument for values that do not parse.
[[nodiscard]] Result<Config> config_for(const oci::Spec& spec, const Config& config);

}  // namespace agentvm::runtime
