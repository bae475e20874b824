// From a fresh kernel to a guest that can hold containers: what PID 1 does before it serves.
#pragma once

#include <string>

#include "guest-agent/cgroup.h"
#include "oci/base/error.h"

namespace agentvm::guest {

inline constexpr const char* kCgroupRoot = "/sys/fs/cgroup";

// Runs the list of steps in boot.cpp; the error names the step. Only for PID 1 of an initramfs.
[[nodiscard]] Result<CgroupTree> boot_guest();

// Whether `word` is on the kernel's command line.
[[nodiscard]] bool kernel_command_line_has(std::string_view word);

}  // namespace agentvm::guest
