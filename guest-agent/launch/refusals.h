// What a specification may ask for and no guest can give. Checked before anything is made; each
// error is invalid_argument and names the member.
#pragma once

#include "oci/base/error.h"
#include "oci/spec.h"

namespace agentvm::guest {

// For a container; `linux_` must be there.
[[nodiscard]] Result<void> check_container(const oci::Spec& spec);
// For any process: security labels, and something to execute.
[[nodiscard]] Result<void> check_process(const oci::Process& process);

}  // namespace agentvm::guest
