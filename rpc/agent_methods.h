// The RPCs of agent.proto as one list: X(name in C++, name in the proto, most bytes of a response
// that the host believes). A guest is hostile: 1 MiB of two-byte list entries is the most that it
// can make the host unfold.
#pragma once

#include <cstddef>

#include "rpc/agent.pb.h"

namespace agentvm::rpc {

inline constexpr const char* kAgentService = "agentvm.agent.v1.Agent";
inline constexpr std::size_t kSmallResponse = std::size_t{64} << 10;
inline constexpr std::size_t kListResponse = std::size_t{1} << 20;

}  // namespace agentvm::rpc

#define AGENTVM_AGENT_METHODS(X)                       \
  X(configure, Configure, kSmallResponse)              \
  X(set_network, SetNetwork, kSmallResponse)           \
  X(create_container, CreateContainer, kSmallResponse) \
  X(start_container, StartContainer, kSmallResponse)   \
  X(exec_process, ExecProcess, kSmallResponse)         \
  X(wait_process, WaitProcess, kSmallResponse)         \
  X(wait_oom, WaitOom, kSmallResponse)                 \
  X(signal_process, SignalProcess, kSmallResponse)     \
  X(resize_terminal, ResizeTerminal, kSmallResponse)   \
  X(list_processes, ListProcesses, kListResponse)      \
  X(pause_container, PauseContainer, kSmallResponse)   \
  X(resume_container, ResumeContainer, kSmallResponse) \
  X(update_container, UpdateContainer, kSmallResponse) \
  X(grow_guest, GrowGuest, kSmallResponse)             \
  X(container_stats, ContainerStats, kSmallResponse)   \
  X(delete_container, DeleteContainer, kSmallResponse) \
  X(shutdown, Shutdown, kSmallResponse)
