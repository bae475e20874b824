// One TCP connection of the guest's, from its redirection to its end.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <optional>
#include <vector>

#include "egress/gateway/endpoints.h"
#include "egress/gateway/first_bytes.h"
#include "egress/gateway/judge.h"
#include "egress/gateway/name_service.h"
#include "egress/gateway/relay.h"
#include "egress/gateway/state.h"
#include "egress/http/exchange.h"

namespace agentvm::egress {

class GuestConnection final : public http::Surroundings,
                              public std::enable_shared_from_this<GuestConnection> {
 public:
  using Clock = std::chrono::steady_clock;

  GuestConnection(GatewayState& state, NameService& names, asio::ip::tcp::socket socket)
      : state_(state), names_(names), guest_(std::move(socket)), upstream_(guest_.get_executor()) {}

  // Until it has ended, its record written.
  [[nodiscard]] asio::awaitable<void> run();

  // Closes it when the settings of now deny it; whether it did.
  bool reconsider();
  // Closes it when nothing has come through for long.
  void close_if_idle(Clock::time_point now);
  void close();

  [[nodiscard]] std::shared_ptr<const Settings> settings() override { return state_.settings; }
  [[nodiscard]] bool is_pinned(std::string_view name, const Address& address) override;
  [[nodiscard]] Task<Socket> connect(const http::Destination& destination) override;
  void record(const http::RequestRecord& record) override;

 private:
  enum class Stage : std::uint8_t { arriving, passing, requests };

  [[nodiscard]] Result<void> find_destination();
  asio::awaitable<void> serve();
  asio::awaitable<void> serve_tls(ClientHello hello);
  asio::awaitable<void> serve_raw();
  asio::awaitable<void> serve_requests();
  asio::awaitable<void> pass(Judgement judgement, std::string_view protocol);
  // Asks DNS for a name that the guest may resolve and did not ask us for lately.
  asio::awaitable<void> pin_if_allowed(std::string name);
  [[nodiscard]] Approach approach() const;
  void deny(std::string_view protocol, const Judgement& judgement);
  void write(std::string_view protocol, const Judgement& judgement, bool allowed);

  GatewayState& state_;
  NameService& names_;
  asio::ip::tcp::socket guest_;
  asio::ip::tcp::socket upstream_;
  AddressPort there_;
  Stage stage_ = Stage::arriving;
  Judgement judgement_;                       // of passing
  std::vector<http::Destination> requested_;  // of requests: where they led to
  Traffic traffic_;
};

}  // namespace agentvm::egress
