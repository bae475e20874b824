// Takes the guest's TCP connections and keeps them until they end.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <unordered_set>

#include "egress/gateway/guest_connection.h"

namespace agentvm::egress {

class TcpProxy {
 public:
  static constexpr std::size_t kMaxConnections = 4096;

  // `most`: connections at a time; those beyond are reset.
  TcpProxy(GatewayState& state, NameService& names, std::size_t most)
      : state_(state), names_(names), most_(most) {}
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  // Serves until the socket fails. The object outlives the event loop.
  void serve(asio::ip::tcp::acceptor acceptor);
  // Looks for what has been idle for too long, once a minute.
  void watch_idle(const asio::any_io_executor& executor);

  // Closes what the settings of now deny; how many that were.
  std::size_t reconsider();
  [[nodiscard]] std::size_t size() const { return connections_.size(); }

 private:
  asio::awaitable<void> accept(std::shared_ptr<asio::ip::tcp::acceptor> acceptor);
  void take(asio::ip::tcp::socket socket);
  asio::awaitable<void> close_idle();
  [[nodiscard]] std::vector<std::shared_ptr<GuestConnection>> all() const;

  GatewayState& state_;
  NameService& names_;
  std::size_t most_;
  std::unordered_set<std::shared_ptr<GuestConnection>> connections_;
};

}  // namespace agentvm::egress
