// Waiting for a borrowed socket to become readable or writable, with a limit. On a duplicate, so
// that the descriptor itself is never registered with two owners; not for hot paths.
#pragma once

#include <chrono>
#include <cstdint>

#include "oci/base/async.h"

namespace agentvm::guest {

enum class SocketSide : std::uint8_t { readable, writable };

// unavailable when `limit` passes first.
[[nodiscard]] Task<void> wait_socket(int fd, SocketSide side,
                                     std::chrono::steady_clock::time_point limit);

}  // namespace agentvm::guest
