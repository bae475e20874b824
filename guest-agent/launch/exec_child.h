// A process that joins a container, from clone(2) on. It is born in the container's pid namespace.
#pragma once

#include <cstdint>

#include "guest-agent/launch/child.h"

namespace agentvm::guest {

struct ExecChild : Child {
  int init_pidfd;
  std::uint64_t namespaces;  // CLONE_NEW* to join
};

// The whole set-up; returns only with an error.
[[nodiscard]] Result<void> run_exec(ExecChild& child);

}  // namespace agentvm::guest
