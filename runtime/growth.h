// How large a VM has to become for new limits of its container, and that size as processes of ours
// tell it to each other. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"
#include "oci/spec.h"
#include "runtime/record.h"
#include "vmm/machine.h"

namespace agentvm::runtime {

struct GrowthPlan {
  vmm::MachineSize total;
  // The limits have no meaning in the VM as it is. Otherwise they merely leave its kernel and agent
  // less than vm.memory_overhead_mib.
  bool needed = true;
  friend bool operator==(const GrowthPlan&, const GrowthPlan&) = default;
};

// memory: the limit plus `overhead_mib`, at most what the VM can have. vCPUs: what the limits let
// the container use at once, cut to what the VM can have, as at create. Nothing when the VM is
// large enough: it never becomes smaller. invalid_argument for a memory limit that it can never
// hold.
[[nodiscard]] Result<std::optional<GrowthPlan>> plan_growth(const oci::Resources& resources,
                                                            const VmRecord& vm,
                                                            std::uint64_t overhead_mib);

// The text of MessageType::grow: "<vcpus> <memory_mib>".
[[nodiscard]] std::string write_size(const vmm::MachineSize& size);
[[nodiscard]] Result<vmm::MachineSize> parse_size(std::string_view text);

}  // namespace agentvm::runtime
