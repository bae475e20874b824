// Whether a container's VM starts from a template.
#pragma once

#include <optional>

#include "runtime/config.h"
#include "vmm/machine.h"
#include "vmm/template/store.h"

namespace agentvm::runtime {

// The template for `machine` (as plan_machine() made it), opened. Nothing when the VM has to
// boot: templates are off, there is none yet (one is then built in the background, unless somebody
// does that already), or it cannot be used. Never fails; what the user should know is logged.
[[nodiscard]] std::optional<vmm::OpenTemplate> choose_template(const Config& config,
                                                               const vmm::MachineConfig& machine);

// After a VM could not be restored from it: the template is removed, and the reason is kept, so
// that the next one is not built at once.
void reject_template(const Config& config, const std::string& key, const std::string& reason);

}  // namespace agentvm::runtime
