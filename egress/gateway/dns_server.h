// The guest's name service: questions over UDP and TCP, answered by the policy.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "egress/gateway/name_service.h"

namespace agentvm::egress {

class DnsServer {
 public:
  static constexpr std::size_t kMaxQuestions = 256;  // that wait for an answer
  static constexpr std::size_t kMaxConnections = 64;
  static constexpr std::size_t kMaxQuery = 1024;     // a name has 255 bytes
  static constexpr std::size_t kMaxUdpAnswer = 512;  // RFC 1035, 4.2.1

  DnsServer(GatewayState& state, NameService& names) : state_(state), names_(names) {}
  DnsServer(const DnsServer&) = delete;
  DnsServer& operator=(const DnsServer&) = delete;

  // Serve until the sockets fail. The object outlives the event loop.
  void serve_udp(asio::ip::udp::socket socket);
  void serve_tcp(asio::ip::tcp::acceptor acceptor);

 private:
  using Udp = std::shared_ptr<asio::ip::udp::socket>;
  using Tcp = std::shared_ptr<asio::ip::tcp::socket>;

  asio::awaitable<void> receive(Udp socket);
  asio::awaitable<void> answer_datagram(Udp socket, std::string query,
                                        asio::ip::udp::endpoint guest);
  asio::awaitable<void> accept(std::shared_ptr<asio::ip::tcp::acceptor> acceptor);
  asio::awaitable<void> converse(Tcp socket);
  // Empty: what came deserves none.
  asio::awaitable<std::string> answer(std::string query, std::size_t most);
  void record(const DnsQuestion& question, const NameAnswer& answer);

  GatewayState& state_;
  NameService& names_;
  std::size_t questions_ = 0;
  std::size_t connections_ = 0;
};

// A question that is none: FORMERR, to whoever sent at least a header; else empty. Pure.
[[nodiscard]] std::string write_dns_complaint(std::string_view query);
// The answer, within `most` bytes: fewer addresses, and another type's answer cut (TC). Pure.
[[nodiscard]] std::string write_name_answer(const DnsQuery& query, const NameAnswer& answer,
                                            std::size_t most);

}  // namespace agentvm::egress
