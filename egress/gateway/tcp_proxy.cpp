#include "egress/gateway/tcp_proxy.h"

#include "egress/gateway/pause.h"
#include "oci/base/log.h"

namespace agentvm::egress {

namespace {

using asio::ip::tcp;

constexpr std::chrono::minutes kBetweenLooks{1};

}  // namespace

void TcpProxy::serve(tcp::acceptor acceptor) {
  const auto shared = std::make_shared<tcp::acceptor>(std::move(acceptor));
  asio::co_spawn(shared->get_executor(), accept(shared), asio::detached);
}

asio::awaitable<void> TcpProxy::accept(std::shared_ptr<tcp::acceptor> acceptor) {
  for (;;) {
    tcp::socket socket(acceptor->get_executor());
    auto [code] = co_await acceptor->async_accept(socket, use_result);
    if (code == asio::error::operation_aborted) co_return;
    if (code) {
      co_await pause(kAfterFailure);
      continue;
    }
    take(std::move(socket));
  }
}

void TcpProxy::take(tcp::socket socket) {
  if (connections_.size() >= most_) {
    if (state_.counters.refused++ == 0) {
      log::warning("more than {} connections at a time: the others are reset", most_);
    }
    reset(socket);
    return;
  }
  const auto executor = socket.get_executor();
  const auto connection = std::make_shared<GuestConnection>(state_, names_, std::move(socket));
  connections_.insert(connection);
  asio::co_spawn(executor, connection->run(), [this, connection](const std::exception_ptr&) {
    connection->close();
    connections_.erase(connection);
  });
}

// A copy: closing ends connections, and those that end are taken out.
std::vector<std::shared_ptr<GuestConnection>> TcpProxy::all() const {
  return {connections_.begin(), connections_.end()};
}

std::size_t TcpProxy::reconsider() {
  std::size_t closed = 0;
  for (const auto& connection : all()) closed += connection->reconsider() ? 1 : 0;
  return closed;
}

void TcpProxy::watch_idle(const asio::any_io_executor& executor) {
  asio::co_spawn(executor, close_idle(), asio::detached);
}

asio::awaitable<void> TcpProxy::close_idle() {
  for (;;) {
    co_await pause(kBetweenLooks);
    const auto now = GuestConnection::Clock::now();
    for (const auto& connection : all()) connection->close_if_idle(now);
  }
}

}  // namespace agentvm::egress
