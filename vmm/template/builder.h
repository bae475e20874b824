// Making a template: a machine without the devices that cannot be saved is booted, stopped when its
// guest says so, and written down.
#pragma once

#include <string>

#include "oci/base/async.h"
#include "vmm/machine.h"
#include "vmm/template/manifest.h"

namespace agentvm::vmm {

struct TemplateOrder {
  MachineConfig machine;  // start: make_template; with memory_file
  std::string key;        // TemplateKey::text
  std::string ready;      // what the guest's console says when it can be saved
  int directory = -1;     // borrowed: where "memory" and "state" go
};

// Takes seconds, and the guest's memory twice over while it lasts. On failure no process is left.
[[nodiscard]] Task<TemplateManifest> build_template(TemplateOrder order);

}  // namespace agentvm::vmm
