// The gateway's control socket: one JSON object a line, each answered by one line. It is the
// host's; the guest never sees it.
//
//   {"op":"update","settings":{gateway.json},"values":{values.json}}   values may be left out
//   {"op":"check","host":"example.com","port":443,"method":"","path":""}
//   {"op":"status"}
#pragma once

#include <boost/asio/local/stream_protocol.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "egress/gateway/state.h"
#include "egress/gateway/tcp_proxy.h"
#include "oci/base/stopwatch.h"

namespace agentvm::egress {

class Control {
 public:
  static constexpr std::size_t kMaxLine = std::size_t{8} << 20;
  static constexpr std::size_t kMaxClients = 16;

  Control(GatewayState& state, TcpProxy& proxy) : state_(state), proxy_(proxy) {}
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  void serve(asio::local::stream_protocol::acceptor acceptor);
  // The answer to one line, its end left out.
  [[nodiscard]] std::string answer(std::string_view line);

 private:
  using Socket = asio::local::stream_protocol::socket;
  asio::awaitable<void> accept(std::shared_ptr<asio::local::stream_protocol::acceptor> acceptor);
  asio::awaitable<void> converse(std::shared_ptr<Socket> socket);
  [[nodiscard]] Result<std::string> perform(std::string_view line);
  [[nodiscard]] Result<std::string> update(JsonValue request, const Stopwatch& watch);
  [[nodiscard]] Result<std::string> check(JsonValue request) const;
  [[nodiscard]] std::string status() const;

  GatewayState& state_;
  TcpProxy& proxy_;
  std::size_t clients_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace agentvm::egress
