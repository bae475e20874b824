// The agent's sockets: the two ports it listens on and the connection it dials. vsock in a VM, unix
// sockets in a directory for the developer mode.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "guest-agent/stream_table.h"
#include "oci/base/async.h"
#include "oci/base/unique_fd.h"
#include "rpc/server.h"

namespace agentvm::guest {

struct Listeners {
  UniqueFd agent;    // kAgentPort
  UniqueFd streams;  // kStreamPort
  // vsock is not confined by network namespaces: any process of a container may dial our ports.
  // Only the host's connections (CID 2) are taken.
  bool only_host = false;
};

[[nodiscard]] Result<Listeners> listen_vsock();
// "1024" and "1025" in the existing directory.
[[nodiscard]] Result<Listeners> listen_unix(const std::string& directory);

// A connection to the host's `port`. The device may be plugged after boot, so this waits for it: by
// the kernel's announcements of devices. A host that does not listen is unavailable at once.
[[nodiscard]] Task<UniqueFd> dial_host(std::uint32_t port, std::chrono::milliseconds patience);

// Accepts on both ports for ever. Outlived by all it is given.
void serve(const asio::any_io_executor& executor, Listeners listeners, rpc::Server& server,
           StreamTable& streams);

}  // namespace agentvm::guest
