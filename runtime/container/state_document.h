// The spec's state document (runtime.md "State") of a container, from its record.
#pragma once

#include <string>
#include <string_view>

#include "oci/state.h"
#include "runtime/record.h"

namespace agentvm::runtime {

// As of now: a container whose monitor is gone is stopped and has no pid. indent as
// oci::write_state.
[[nodiscard]] std::string state_document(const ContainerRecord& record, int indent = 0);

// Whether a container in this status may see `event`; the error is in runc's words.
[[nodiscard]] Result<void> allow(Status status, oci::Event event, std::string_view id);

}  // namespace agentvm::runtime
