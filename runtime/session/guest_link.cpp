#include "runtime/session/guest_link.h"

#include <fcntl.h>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "rpc/guest_connect.h"
#include "rpc/ports.h"

namespace agentvm::runtime {

Result<UniqueFd> open_vsock_directory(int state_dir) {
  return sys::open_at(state_dir, kVsockDirectory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

Task<std::unique_ptr<rpc::AgentClient>> connect_agent(const GuestLink& link) {
  const auto directory = CO_TRY(open_vsock_directory(link.state_dir));
  auto connected =
      co_await rpc::connect_guest(directory.get(), kVsockSocket, rpc::kAgentPort, link.timeout);
  auto fd = CO_TRY(std::move(connected), "reach the agent in the guest");
  auto executor = co_await asio::this_coro::executor;
  auto client = CO_TRY(rpc::Client::create(executor, std::move(fd)));
  co_return std::make_unique<rpc::AgentClient>(std::move(client));
}

}  // namespace agentvm::runtime
