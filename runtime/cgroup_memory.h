// The memory limit of a container's cgroup, raised while it runs.
#pragma once

#include <cstdint>

#include "oci/base/error.h"
#include "runtime/cgroup_record.h"

namespace agentvm::runtime {

// To `bytes` at least, and what may be swapped besides stays what it is. A limit that is higher
// already stays; so does everything where there is no cgroup.
[[nodiscard]] Result<void> raise_memory_limit(const CgroupRecord& cgroup, std::uint64_t bytes);

}  // namespace agentvm::runtime
