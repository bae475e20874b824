// startContainer hooks (config.md, "POSIX-platform Hooks"): run by the container's init right
// before it executes the program, in the container's namespaces and root, as its user.
#pragma once

#include <span>

#include "oci/base/error.h"
#include "oci/spec.h"

namespace agentvm::guest {

// In order, up to the first failure: `error running startContainer hook #0: exit status 1, stdout:
// ..., stderr: ...` (the last 4 KiB of each). Each hook has exactly its own args and env, the file
// `state_fd` from its beginning on as stdin, no other descriptor and a process group of its own,
// which is killed when its time is over. For a process that may wait for its children.
[[nodiscard]] Result<void> run_start_hooks(std::span<const oci::Hook> hooks, int state_fd);

}  // namespace agentvm::guest
