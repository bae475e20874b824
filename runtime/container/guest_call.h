// One call to the agent of a running container, from a command that has no event loop of its own.
#pragma once

#include <functional>

#include "oci/base/async.h"
#include "rpc/agent_client.h"
#include "runtime/container/engine.h"
#include "runtime/session/guest_link.h"

namespace agentvm::runtime {

// Connects, runs `call` with the connection, and ends. unavailable when the guest does not answer.
template <class T>
Result<T> call_guest(const StateDir& dir, std::chrono::milliseconds timeout,
                     std::function<Task<T>(rpc::AgentClient&)> call) {
  asio::io_context io(1);
  return run_to_end<T>(
      io, [](GuestLink link, std::function<Task<T>(rpc::AgentClient&)> inner) -> Task<T> {
        auto connected = co_await connect_agent(link);
        if (!connected) co_return std::unexpected(std::move(connected).error());
        co_return co_await inner(**connected);
      }(GuestLink{dir.fd(), timeout}, std::move(call)));
}

}  // namespace agentvm::runtime
