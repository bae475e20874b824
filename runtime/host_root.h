// Whether this process is the host's root, which containers of VMs need: the jails' user ids, taps
// and cgroups are nobody else's to make.
#pragma once

#include <cstdint>
#include <string_view>

#include "oci/base/error.h"

namespace agentvm::runtime {

// failed_precondition otherwise, with what to do instead: for rootless engines and user namespaces.
[[nodiscard]] Result<void> check_host_root();

// The same from the effective user id and the text of /proc/self/uid_map.
[[nodiscard]] Result<void> check_host_root(std::uint32_t uid, std::string_view uid_map);

}  // namespace agentvm::runtime
