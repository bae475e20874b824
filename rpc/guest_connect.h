// The host's way into a guest: the hybrid vsock socket of its VM (host connects to a unix socket
// and says "CONNECT <port>\n", the backend answers "OK <n>\n" once the guest has taken the
// connection; Firecracker, docs/vsock.md).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"

namespace agentvm::rpc {

// A connection to `port` in the guest, non-blocking; not one byte past the answer has been read.
// unavailable, saying what was refused, when the socket is missing, nobody listens on it or on the
// port, the answer is not understood, or `timeout` has passed. No text of ours here reads like a
// missing program or file, which Docker would take for the user's mistake.
[[nodiscard]] Task<UniqueFd> connect_guest(int socket_dir_fd, std::string socket_name,
                                           std::uint32_t port, std::chrono::milliseconds timeout);

// The byte stream `stream_id` (0 is invalid_argument): connected to kStreamPort, taken by the
// agent. `timeout` covers both steps.
[[nodiscard]] Task<UniqueFd> open_guest_stream(int socket_dir_fd, std::string socket_name,
                                               std::uint64_t stream_id,
                                               std::chrono::milliseconds timeout);

}  // namespace agentvm::rpc
