// The vsock ports of a guest; see the head of agent.proto for who dials whom.
#pragma once

#include <cstdint>

namespace agentvm::rpc {

// The agent's ttrpc: the agent dials the host on it once (CID 2), the host's clients dial the
// agent.
inline constexpr std::uint32_t kAgentPort = 1024;
// Byte streams of processes: stream id (8 bytes, little endian, never 0), answered by one byte
// kStreamAccepted, then the bytes of the stream both ways.
inline constexpr std::uint32_t kStreamPort = 1025;
inline constexpr char kStreamAccepted = 0x01;

}  // namespace agentvm::rpc
