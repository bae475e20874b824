// The cgroup driver of systemd: a transient scope per container (org.freedesktop.systemd1(5)), made
// with its first process, delegated to us, and gone when its last process is.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>

#include "oci/base/error.h"
#include "runtime/host_limits.h"

namespace agentvm::runtime {

struct ScopeRequest {
  std::string unit;   // "docker-abc.scope"
  std::string slice;  // "system.slice"
  std::string description;
  pid_t first = 0;
  HostLimits limits;  // told to systemd too, lest it write its own defaults over ours
  bool v2 = true;     // of systemd's own hierarchy: names differ
};

// Returns when systemd has done the job. unavailable, with a sentence that says so, when systemd
// does not run or answer; already_exists when the unit does.
[[nodiscard]] Result<void> start_scope(const ScopeRequest& request,
                                       std::chrono::milliseconds deadline);

// New limits of a running scope.
[[nodiscard]] Result<void> update_scope(const std::string& unit, const HostLimits& limits, bool v2,
                                        std::chrono::milliseconds deadline);

// Ends the scope if it is still there, and forgets it if it failed.
[[nodiscard]] Result<void> stop_scope(const std::string& unit, std::chrono::milliseconds deadline);

}  // namespace agentvm::runtime
