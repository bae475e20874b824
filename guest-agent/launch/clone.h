// clone3(2) in the way of fork(2): the child goes on where the parent is.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"

namespace agentvm::guest {

struct Cloned {
  pid_t pid = 0;  // 0 in the child
  UniqueFd pidfd;
};

// `namespaces` are CLONE_NEW* that the child is born in; `cgroup_fd` a cgroup2 directory it starts
// in (-1: the parent's). Signal handlers do not pass to the child: a signal it gets must not run
// the agent's event loop. Only for processes with one thread.
[[nodiscard]] Result<Cloned> clone_child(std::uint64_t namespaces, int cgroup_fd);

// Closes every descriptor from 3 on but those of `keep` (negative ones are none).
void close_all_but(std::vector<int> keep);

}  // namespace agentvm::guest
