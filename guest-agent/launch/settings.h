// What the agent sets on a child from outside, with the rights that the child may not have in its
// user namespace: linux `oomScoreAdj`, rlimits, scheduler, ioPriority, execCPUAffinity.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "oci/base/error.h"
#include "oci/spec.h"

namespace agentvm::guest {

// Right after the clone: oomScoreAdj, and execCPUAffinity.initial when `exec`.
[[nodiscard]] Result<void> apply_early_settings(pid_t pid, const oci::Process& process, bool exec);
// When its set-up is done, which could not be done within the limits: rlimits, scheduler,
// ioPriority, and execCPUAffinity.final when `exec`.
[[nodiscard]] Result<void> apply_late_settings(pid_t pid, const oci::Process& process, bool exec);

// Pure parts.
[[nodiscard]] std::optional<int> rlimit_number(std::string_view name);  // "RLIMIT_NOFILE"
[[nodiscard]] std::optional<int> scheduler_policy(std::string_view name);
// ioprio_set(2)'s value.
[[nodiscard]] Result<int> io_priority_value(const oci::IoPriority& priority);
// "0-3,7" → bits in words of 64; at most kMostCpus CPUs.
inline constexpr unsigned kMostCpus = 8192;
[[nodiscard]] Result<std::vector<std::uint64_t>> cpu_mask(std::string_view list);

}  // namespace agentvm::guest
