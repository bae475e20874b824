// Building a template of this host's guests into the store: in this process for the command, in a
// process of its own beside a container that boots cold meanwhile.
#pragma once

#include "runtime/config.h"
#include "vmm/machine.h"
#include "vmm/template/store.h"

namespace agentvm::runtime {

// Takes seconds. The calling process needs no mount of its own any more: it gets a private mount
// namespace. The draft becomes the template, or is discarded with its reason kept.
[[nodiscard]] Result<vmm::TemplateManifest> build_template(const Config& config,
                                                           vmm::MachineConfig machine,
                                                           const vmm::TemplateStore& store,
                                                           vmm::TemplateDraft draft);

// The same in an orphan of low priority that outlives the caller and prints nothing.
[[nodiscard]] Result<void> build_in_background(const Config& config,
                                               const vmm::MachineConfig& machine,
                                               const vmm::TemplateStore& store,
                                               vmm::TemplateDraft draft);

}  // namespace agentvm::runtime
