// exec: one more process in a running container.
#pragma once

#include <string>

#include "oci/spec.h"
#include "runtime/container/engine.h"
#include "runtime/record.h"

namespace agentvm::runtime {

struct ExecRequest {
  std::string id;
  oci::Process process;
  std::string console_socket;
  std::string cgroup;  // below the container's own, in the guest
  bool ignore_paused = false;
};

// The calling process stands in for it: its fds 0, 1 and 2 (or its terminal) are the process's, its
// signals are relayed. Returns how the process ended.
[[nodiscard]] Result<InitExit> exec_attached(const Engine& engine, const ExecRequest& request);

// Leaves an orphan as stand-in and returns its pid once the process runs. Must be called before
// any event loop or thread of the process exists.
[[nodiscard]] Result<pid_t> exec_detached(const Engine& engine, const ExecRequest& request);

}  // namespace agentvm::runtime
