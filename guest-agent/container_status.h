// The law of a container's status: what may happen when, in one function. Messages are runc's where
// containerd or Docker read them.
#pragma once

#include <cstdint>
#include <string_view>

#include "oci/base/error.h"

namespace agentvm::guest {

enum class ContainerStatus : std::uint8_t {
  creating,  // CreateContainer is at work; only the id is taken
  created,   // init stands before the user's program
  running,   // StartContainer was called
  paused,    // frozen
  stopped,   // init has ended
  deleting,  // DeleteContainer is at work
};

enum class ContainerEvent : std::uint8_t {
  created,  // CreateContainer is done
  start,
  pause,
  resume,
  exec,
  update,
  exit,   // init has ended
  erase,  // DeleteContainer
};

[[nodiscard]] std::string_view name_of(ContainerStatus status);

// The status after `event`, or failed_precondition with the reason.
[[nodiscard]] Result<ContainerStatus> next_status(ContainerStatus from, ContainerEvent event);

}  // namespace agentvm::guest
