// Kernel modules of the initramfs, as guest-agent/image lays them out:
//   /etc/modules               the boot list: one path below /lib/modules a line, in order
//   /lib/modules/NAME.ko       every module, names with '_'
//   /lib/modules/agentvm.dep   "NAME: DEP DEP ...", what to load before NAME, in order
// The host may share a directory of more of them with a container (rpc::kSharedModules), laid out
// like /lib/modules and with
//   modules.alias              "alias PATTERN NAME": what the kernel asks for by another name
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

// Loads `name` with what it depends on, of the initramfs or, where it has none of that name, of
// what the host shares. What is loaded or built in already is fine.
[[nodiscard]] Result<void> load_module(std::string_view name);

// The names of the modules that stand for `wanted` in the text of a modules.alias, in its order.
[[nodiscard]] std::vector<std::string> modules_for_alias(std::string_view aliases,
                                                         const std::string& wanted);

// Has the kernel load what it needs by itself from what the host shares with a container, if it
// does: from now on it runs kModuleLoader. Any number of times.
[[nodiscard]] Result<void> serve_module_requests();

// The program that the kernel runs as `kModuleLoader -q -- NAME` (kernel/module/kmod.c): the agent
// under another name. It starts in the kernel's own view of the initramfs, where nothing is
// mounted.
inline constexpr const char* kModuleLoader = "/sbin/modprobe";
[[nodiscard]] int answer_module_request(const std::string& name);

}  // namespace agentvm::guest
