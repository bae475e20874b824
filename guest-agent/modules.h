// Kernel modules of the initramfs, as guest-agent/image lays them out:
//   /etc/modules               the boot list: one path below /lib/modules a line, in order
//   /lib/modules/NAME.ko       every module, names with '_'
//   /lib/modules/agentvm.dep   "NAME: DEP DEP ...", what to load before NAME, in order
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"

namespace agentvm::guest {

using ModuleDependencies = std::map<std::string, std::vector<std::string>>;

// The text of agentvm.dep. '-' in a name is read as '_'.
[[nodiscard]] Result<ModuleDependencies> parse_module_dependencies(std::string_view text);

// The modules to load for `name`, in order, itself last. not_found for a module that is not there.
[[nodiscard]] Result<std::vector<std::string>> modules_for(const ModuleDependencies& known,
                                                           std::string_view name);

// Loads what the boot list names. A missing list is an empty one: the kernel has all built in.
[[nodiscard]] Result<void> load_boot_modules();

// Loads `name` with what it depends on. What is loaded or built in already is fine.
[[nodiscard]] Result<void> load_module(std::string_view name);

}  // namespace agentvm::guest
