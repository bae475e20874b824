// How a process on the host reaches the agent of one container's guest.
#pragma once

#include <chrono>
#include <memory>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"
#include "rpc/agent_client.h"

namespace agentvm::runtime {

inline constexpr const char* kVsockDirectory = "vsock";  // in the state directory
inline constexpr const char* kVsockSocket = "vsock.sock";

// The sockets of a container's hybrid vsock: a directory of their own, since the backend, which
// answers to the guest, may enter it and must not see the rest of the container's state.
[[nodiscard]] Result<UniqueFd> open_vsock_directory(int state_dir);

// The hybrid vsock of a container; its state directory is borrowed and outlives the link.
struct GuestLink {
  int state_dir = -1;
  std::chrono::milliseconds timeout{30000};  // of connecting and of an ordinary request
};

// A connection of the caller's own to the agent. unavailable when the VM is gone or silent.
[[nodiscard]] Task<std::unique_ptr<rpc::AgentClient>> connect_agent(const GuestLink& link);

}  // namespace agentvm::runtime
