// The monitor's own namespaces: what hooks and Docker look at through /proc/PID/ns, and where the
// directory that virtiofs shares is put together.
#pragma once

#include <string>

#include "oci/base/error.h"
#include "oci/spec.h"
#include "runtime/guest_spec.h"

namespace agentvm::runtime {

// The path that the spec names; "": the container gets a network namespace of its own.
[[nodiscard]] std::string network_namespace(const oci::Spec& spec);

// Joins that namespace, or makes one; makes a private mount namespace that
// still receives the host's later mounts; puts the shared directory together at `shared_dir`,
// which exists. Before any child and any event loop. What it makes ends with the last process in
// the namespaces.
[[nodiscard]] Result<void> enter_surroundings(const oci::Spec& spec, const SharePlan& share,
                                              const std::string& shared_dir);

}  // namespace agentvm::runtime
