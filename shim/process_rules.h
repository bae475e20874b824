// Which request a process takes in which state, and what containerd is told otherwise: the codes
// that its clients act on. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "oci/base/error.h"

namespace agentvm::shim {

// An exec is `created` once it has been added; only the init can be paused.
enum class ProcessStatus : std::uint8_t { created, running, paused, stopped };

enum class Request : std::uint8_t {
  start,
  kill,
  remove,
  exec,  // of the init: one more process
  pause,
  resume,
  update,
  inspect,  // pids, statistics
};

// failed_precondition; not_found for a signal to a process that has ended, which is how runc's shim
// says it and what Docker's stop waits for. `exec`: about an exec, not the init.
[[nodiscard]] Result<void> allow(ProcessStatus status, Request request, bool exec);

[[nodiscard]] std::string_view name_of(ProcessStatus status);

// What waitpid(2) told of the stand-in, as an exit status.
[[nodiscard]] std::uint32_t exit_status_of(int wait_status);

}  // namespace agentvm::shim
