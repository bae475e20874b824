// Where the owner of an agent sandbox tells its gateway of a new policy.
#pragma once

#include <string>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"
#include "runtime/config.h"

namespace agentvm::runtime {

[[nodiscard]] std::string control_socket_path(const SandboxConfig& config, const std::string& name);

// Listens there, mode 0660, in directories that are made (0755, 0700) where they are missing.
// failed_precondition when somebody else listens there already.
[[nodiscard]] Result<UniqueFd> listen_for_control(const SandboxConfig& config,
                                                  const std::string& name);

// Unless somebody listens there: a sandbox may have been started again meanwhile.
void remove_dead_socket(const std::string& path);

}  // namespace agentvm::runtime
