// Values → the JSON of the specification, members in the specification's order. What is written
// parses back to an equal value; unknown_members is not written. This is how the host hands an
// adapted spec to the guest. indent 0: one line.
#pragma once

#include <string>

#include "oci/spec.h"

namespace agentvm::oci {

[[nodiscard]] std::string write_spec(const Spec& spec, int indent = 0);
[[nodiscard]] std::string write_process(const Process& process, int indent = 0);
[[nodiscard]] std::string write_resources(const Resources& resources, int indent = 0);

}  // namespace agentvm::oci
