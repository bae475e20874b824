// What systemd is told of a container's scope (systemd.resource-control(5)). Pure.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "runtime/host_limits.h"

namespace agentvm::runtime {

struct ScopeProperty {
  std::string name;
  std::variant<std::uint64_t, bool, std::string> value;
  friend bool operator==(const ScopeProperty&, const ScopeProperty&) = default;
};

// Of a new scope, PIDs excepted.
[[nodiscard]] std::vector<ScopeProperty> scope_properties(const std::string& slice,
                                                          const std::string& description,
                                                          const HostLimits& limits, bool v2);
// The limits alone. What systemd has no property for is left to the cgroup's files.
[[nodiscard]] std::vector<ScopeProperty> limit_properties(const HostLimits& limits, bool v2);

}  // namespace agentvm::runtime
