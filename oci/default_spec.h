// The starter config.json that `agentvm spec` writes, as `runc spec` does: a shell in ./rootfs, on
// a terminal, without privileges worth the name.
#pragma once

#include "oci/spec.h"

namespace agentvm::oci {

[[nodiscard]] Spec default_spec();

}  // namespace agentvm::oci
