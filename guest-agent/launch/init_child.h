// A container's init, from clone(2) on.
#pragma once

#include <span>
#include <string>

#include "guest-agent/launch/child.h"
#include "guest-agent/launch/rootfs.h"

namespace agentvm::guest {

struct InitChild : Child {
  const std::string& cgroup;
  Rootfs rootfs;  // its sources are open already when the container has a user namespace
  std::span<const JoinedNamespace> joined;
};

// The whole set-up; returns only with an error.
[[nodiscard]] Result<void> run_init(InitChild& child);

}  // namespace agentvm::guest
