#include "runtime/session/guest_link.h"

#include "oci/base/try.h"
#include "rpc/guest_connect.h"
#include "rpc/ports.h"

namespace agentvm::runtime {

Task<std::unique_ptr<rpc::AgentClient>> connect_agent(const GuestLink& link) {
  auto connected =
      co_await rpc::connect_guest(link.state_dir, kVsockSocket, rpc::kAgentPort, link.timeout);
  auto fd = CO_TRY(std::move(connected), "reach the agent in the guest");
  auto executor = co_await asio::this_coro::executor;
  auto client = CO_TRY(rpc::Client::create(executor, std::move(fd)));
  co_return std::make_unique<rpc::AgentClient>(std::move(client));
}

}  // namespace agentvm::runtime
