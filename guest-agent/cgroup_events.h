// The flags of a cgroup's cgroup.events file, and waiting for one to change (the kernel wakes
// pollers of the file).
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "oci/base/async.h"

namespace agentvm::guest {

// "populated" or "frozen" in the text of a cgroup.events file.
[[nodiscard]] Result<bool> parse_cgroup_event(std::string_view text, std::string_view name);

// Ends when the flag `name` of the cgroup `path` has `value`; unavailable after `deadline`.
[[nodiscard]] Task<void> wait_for_cgroup_event(std::string path, std::string_view name, bool value,
                                               std::chrono::milliseconds deadline);

}  // namespace agentvm::guest
