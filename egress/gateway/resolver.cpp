#include "egress/gateway/resolver.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <cstring>

#include "egress/gateway/deadline.h"
#include "egress/gateway/endpoints.h"
#include "egress/rule.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::egress {

namespace {

using asio::ip::tcp;
using asio::ip::udp;

constexpr std::uint16_t kDnsPort = 53;
constexpr std::chrono::milliseconds kPatience[] = {std::chrono::milliseconds(1500),
                                                   std::chrono::milliseconds(3000)};

std::uint16_t fresh_id() {
  const std::string bytes = sys::random_bytes(2);
  std::uint16_t id = 0;
  std::memcpy(&id, bytes.data(), sizeof(id));
  return id;
}

bool is_to(const DnsAnswer& answer, std::uint16_t id, const DnsQuestion& question) {
  return answer.id == id && answer.question == question;
}

Task<Resolved> ask_udp(udp::endpoint server, DnsQuestion question,
                       std::chrono::milliseconds patience) {
  const auto socket = std::make_shared<udp::socket>(co_await asio::this_coro::executor);
  boost::system::error_code code;
  (void)socket->open(server.protocol(), code);
  // Connected: nobody else's datagrams are received.
  if (!code) (void)socket->connect(server, code);
  if (code) co_return fail_asio(code, "reach the resolver");
  const std::uint16_t id = fresh_id();
  const std::string query = write_dns_query(id, question);
  const Deadline deadline(socket, patience);
  auto [send_code, sent] = co_await socket->async_send(asio::buffer(query), use_result);
  if (send_code) co_return fail_asio(send_code, "ask the resolver");
  std::string message;
  for (;;) {
    message.resize(4096);
    auto [receive_code, size] = co_await socket->async_receive(asio::buffer(message), use_result);
    if (receive_code) {
      if (deadline.passed()) {
        co_return fail(ErrorKind::unavailable, "the resolver does not answer");
      }
      co_return fail_asio(receive_code, "hear the resolver");
    }
    message.resize(size);
    auto answer = parse_dns_answer(message);
    // What does not fit may be a forgery: the true answer may still come.
    if (!answer || !is_to(*answer, id, question)) continue;
    Resolved resolved{std::move(*answer), std::move(message)};
    co_return resolved;
  }
}

Task<Resolved> ask_tcp(udp::endpoint server, DnsQuestion question,
                       std::chrono::milliseconds patience) {
  const auto socket = std::make_shared<tcp::socket>(co_await asio::this_coro::executor);
  const Deadline deadline(socket, patience);
  const tcp::endpoint there(server.address(), server.port());
  auto [connect_code] = co_await socket->async_connect(there, use_result);
  if (connect_code) co_return fail_asio(connect_code, "connect to the resolver");
  const std::uint16_t id = fresh_id();
  std::string message = write_dns_query(id, question);
  const auto size = static_cast<std::uint16_t>(message.size());
  message.insert(0, {static_cast<char>(size >> 8), static_cast<char>(size & 0xff)});
  auto [write_code, written] =
      co_await asio::async_write(*socket, asio::buffer(message), use_result);
  if (write_code) co_return fail_asio(write_code, "ask the resolver");
  std::array<unsigned char, 2> length{};
  auto [length_code, got] = co_await asio::async_read(*socket, asio::buffer(length), use_result);
  if (length_code) co_return fail_asio(length_code, "hear the resolver");
  message.resize(static_cast<std::size_t>(length[0] << 8 | length[1]));
  auto [read_code, read] = co_await asio::async_read(*socket, asio::buffer(message), use_result);
  if (read_code) co_return fail_asio(read_code, "hear the resolver");
  auto parsed = parse_dns_answer(message);
  DnsAnswer answer = CO_TRY(std::move(parsed), "the resolver's answer");
  if (!is_to(answer, id, question)) {
    co_return fail(ErrorKind::unavailable, "the resolver answers another question");
  }
  Resolved resolved{std::move(answer), std::move(message)};
  co_return resolved;
}

// One that knows more may be asked next.
bool is_useless(const Resolved& resolved) {
  return resolved.answer.code != kDnsNoError && resolved.answer.code != kDnsNoSuchName;
}

}  // namespace

Result<udp::endpoint> parse_resolver(std::string_view text) {
  const Target target = TRY(parse_target(text), "resolver");
  if (target.scope != Scope::network || target.network.prefix != 128) {
    return fail(ErrorKind::invalid_argument, fmt::format("resolver '{}': it is no address", text));
  }
  const tcp::endpoint endpoint =
      endpoint_of(target.network.address, target.port.value_or(kDnsPort));
  return udp::endpoint(endpoint.address(), endpoint.port());
}

Task<Resolved> Resolver::ask(DnsQuestion question) {
  Result<Resolved> outcome = fail(ErrorKind::unavailable, "there is no resolver");
  const std::size_t first = first_;
  for (const auto patience : kPatience) {
    for (std::size_t i = 0; i < servers_.size(); ++i) {
      const std::size_t number = (first + i) % servers_.size();
      const udp::endpoint server = servers_[number];
      auto next = co_await ask_udp(server, question, patience);
      if (next && next->answer.truncated) next = co_await ask_tcp(server, question, patience);
      if (next && !is_useless(*next)) {
        first_ = number;
        co_return next;
      }
      if (next || !outcome) outcome = std::move(next);
    }
  }
  co_return outcome;
}

}  // namespace agentvm::egress
