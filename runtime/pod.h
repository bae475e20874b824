// Pods: several containers in one VM, as the engines of Kubernetes ask for them in annotations
// (docs/decisions/0007-pods.md). Pure.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "oci/base/error.h"
#include "oci/spec.h"
#include "runtime/config.h"
#include "runtime/record.h"
#include "vmm/machine.h"

namespace agentvm::runtime {

enum class PodRole : std::uint8_t {
  alone,    // a VM that is nobody else's
  open,     // a VM for itself, until others join: Podman does not say which are a pod's first
  sandbox,  // a VM that takes members in
  member,   // a container in a sandbox's VM
};

// Whether containers may join it in its VM.
[[nodiscard]] constexpr bool takes_members(PodRole role) {
  return role == PodRole::open || role == PodRole::sandbox;
}

struct PodPlace {
  PodRole role = PodRole::alone;
  std::string sandbox_id;  // of a member: a container of the same --root
  friend bool operator==(const PodPlace&, const PodPlace&) = default;
};

// From containerd's annotations and those of CRI-O, which Podman writes for members; Podman's other
// containers are open.
// invalid_argument for words that none of them writes, and where two disagree: a container never
// gets a VM of its own by mistake.
[[nodiscard]] Result<PodPlace> pod_place(const std::map<std::string, std::string>& annotations);

// What a sandbox's VM is sized by, on the host and in its cgroup: what the engine says of the whole
// pod, where it does (containerd 1.6, Kubernetes 1.23), in place of what its first container, which
// does nothing, may use. At least what a guest needs. invalid_argument for what is no number.
[[nodiscard]] Result<oci::Resources> sandbox_resources(const oci::Spec& spec);

// A container of the pod that lives, by the pid that stands for it on the host.
struct Fellow {
  pid_t stand_in = 0;
  std::string container_id;
};

struct PodNamespace {
  oci::NamespaceType type = oci::NamespaceType::ipc;
  std::string container_id;
  friend bool operator==(const PodNamespace&, const PodNamespace&) = default;
};

// Which namespaces `spec` wants of its fellows, by paths such as "/proc/4711/ns/ipc"; the paths are
// taken out of it. Those that name anything else stay, for check_supported() to refuse.
[[nodiscard]] std::vector<PodNamespace> take_pod_namespaces(oci::Spec& spec,
                                                            std::span<const Fellow> fellows);

// How much of its VM a member may use, by its limits.
[[nodiscard]] Result<PodDemand> pod_demand(const oci::Resources& resources);

// The size that a VM needs for them all: the sum of the limits, with vm.default_memory_mib for
// those that have none, together, else with vm.memory_overhead_mib. Never less than it has, nor
// more than it can have: the limits of a pod may add up to more than its host is.
[[nodiscard]] vmm::MachineSize pod_size(std::span<const PodDemand> members, const VmRecord& vm,
                                        const VmConfig& config);

}  // namespace agentvm::runtime
