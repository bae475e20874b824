// What a template was made of. A restored VM goes on from where the template stopped: it must be
// given exactly the machine, kernel and agent that the template had.
#pragma once

#include <string>
#include <string_view>

#include "oci/base/error.h"
#include "vmm/machine.h"

namespace agentvm::vmm {

struct TemplateKey {
  // A line for each thing that shapes a template. Two keys are the same when these are.
  std::string text;
  friend bool operator==(const TemplateKey&, const TemplateKey&) = default;

  // A short name for the key: 16 hexadecimal digits. Two keys may share it, though hardly ever.
  [[nodiscard]] std::string name() const;
};

// Of the machine whose template is asked for. QEMU, kernel and initramfs count as the files they
// are now (device, inode, size, times), so that an upgrade in place makes another key; with KVM the
// host's processor and kernel count too. unavailable when one of the files is missing.
[[nodiscard]] Result<TemplateKey> make_template_key(const MachineConfig& config);

// A line of a key: the file as it is now. unavailable when it is missing.
[[nodiscard]] Result<std::string> describe_file(std::string_view what, const std::string& path);

}  // namespace agentvm::vmm
