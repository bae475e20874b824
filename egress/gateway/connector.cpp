#include "egress/gateway/connector.h"

#include <fmt/format.h>

#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "egress/gateway/deadline.h"
#include "egress/gateway/first_bytes.h"
#include "oci/base/try.h"

namespace agentvm::egress {

namespace {

using asio::ip::tcp;

constexpr std::chrono::seconds kConnect{10};
constexpr std::chrono::seconds kProxyAnswer{30};
constexpr std::size_t kMaxHead = 8192;

Task<AddressPort> find_proxy(const UpstreamProxy& proxy, Resolver& resolver) {
  AddressPort found;
  found.port = proxy.port;
  if (const auto address = parse_address(proxy.host)) {
    found.address = *address;
    co_return found;
  }
  for (const std::uint16_t type : {kDnsA, kDnsAaaa}) {
    DnsQuestion question{.name = proxy.host, .type = type, .klass = kDnsInternet};
    auto asked = co_await resolver.ask(question);
    const Resolved resolved = CO_TRY(std::move(asked), "the upstream proxy '{}'", proxy.host);
    if (resolved.answer.addresses.empty()) continue;
    found.address = resolved.answer.addresses.front().address;
    co_return found;
  }
  co_return fail(ErrorKind::unavailable,
                 fmt::format("the upstream proxy '{}' has no address", proxy.host));
}

std::string connect_request(const UpstreamProxy& proxy, const std::string& authority) {
  std::string request = fmt::format("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n", authority);
  if (!proxy.authorization.empty()) {
    request += fmt::format("Proxy-Authorization: {}\r\n", proxy.authorization.reveal());
  }
  return request + "\r\n";
}

// Takes the head of the proxy's answer, and nothing after it: there the server may speak already.
Task<void> take_answer(tcp::socket& socket) {
  std::size_t had = 0;
  for (;;) {
    const auto seen = co_await peek(socket, had + 1);
    if (!seen) co_return std::unexpected(seen.error());
    const std::size_t end = seen->find("\r\n\r\n");
    const bool ok = seen->starts_with("HTTP/1.1 200") || seen->starts_with("HTTP/1.0 200");
    if (end == std::string_view::npos) {
      if (seen->size() <= had || seen->size() > kMaxHead) {
        co_return fail(ErrorKind::unavailable, "the upstream proxy's answer is none of HTTP");
      }
      had = seen->size();
      continue;
    }
    if (!ok) {
      std::string line(seen->substr(0, std::min(seen->find('\r'), std::size_t{80})));
      for (char& c : line) c = c >= 0x20 && c < 0x7f ? c : '?';
      co_return fail(ErrorKind::unavailable, fmt::format("the upstream proxy says '{}'", line));
    }
    std::string head(end + 4, '\0');
    auto [code, size] = co_await asio::async_read(socket, asio::buffer(head), use_result);
    if (code) co_return fail_asio(code, "read the upstream proxy's answer");
    co_return Result<void>{};
  }
}

}  // namespace

Task<tcp::socket> connect_to(AddressPort there) {
  const auto socket = std::make_shared<tcp::socket>(co_await asio::this_coro::executor);
  const Deadline deadline(socket, kConnect);
  auto [code] = co_await socket->async_connect(endpoint_of(there.address, there.port), use_result);
  const std::string doing =
      fmt::format("connect to {} port {}", to_text(there.address), there.port);
  if (deadline.passed()) {
    co_return fail(ErrorKind::unavailable, doing + ": no answer within 10 s");
  }
  if (code) co_return fail_asio(code, doing);
  boost::system::error_code ignored;
  (void)socket->set_option(tcp::no_delay(true), ignored);
  co_return std::move(*socket);
}

Task<tcp::socket> connect_through(const UpstreamProxy& proxy, Resolver& resolver, std::string name,
                                  AddressPort there) {
  auto found = co_await find_proxy(proxy, resolver);
  const AddressPort place = CO_TRY(std::move(found));
  auto connected = co_await connect_to(place);
  const auto socket =
      std::make_shared<tcp::socket>(CO_TRY(std::move(connected), "the upstream proxy"));
  const Deadline deadline(socket, kProxyAnswer);
  const std::string host = !name.empty()            ? name
                           : is_ipv4(there.address) ? to_text(there.address)
                                                    : fmt::format("[{}]", to_text(there.address));
  std::string request = connect_request(proxy, fmt::format("{}:{}", host, there.port));
  auto [code, size] = co_await asio::async_write(*socket, asio::buffer(request), use_result);
  ::explicit_bzero(request.data(), request.size());
  if (code) co_return fail_asio(code, "ask the upstream proxy");
  auto taken = co_await take_answer(*socket);
  if (deadline.passed()) {
    co_return fail(ErrorKind::unavailable, "the upstream proxy does not answer within 30 s");
  }
  CO_TRY(std::move(taken));
  co_return std::move(*socket);
}

}  // namespace agentvm::egress
