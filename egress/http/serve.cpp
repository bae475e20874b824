#include <algorithm>
#include <chrono>

#include "egress/http/deadline.h"
#include "egress/http/exchange.h"
#include "egress/http/http1.h"
#include "egress/http/http2.h"
#include "egress/http/upstream.h"
#include "oci/base/try.h"

namespace agentvm::egress::http {

namespace {

constexpr std::chrono::seconds kHandshake{20};
constexpr std::string_view kHttp1 = "http/1.1";
constexpr std::string_view kHttp2 = "h2";

bool is_among(const std::vector<std::string>& list, std::string_view word) {
  return std::ranges::find(list, word) != list.end();
}

// What the upstream is offered: of the guest's protocols those that are spoken here.
std::vector<std::string> spoken(const std::vector<std::string>& offered) {
  std::vector<std::string> both;
  for (const std::string_view protocol : {kHttp2, kHttp1}) {
    if (is_among(offered, protocol)) both.emplace_back(protocol);
  }
  return both;
}

Task<std::unique_ptr<TlsStream>> accept_guest(Socket& guest, std::string first, std::string host,
                                              std::string protocol, TlsOpener& opener) {
  auto stream = CO_TRY(opener.accept(guest, std::move(first), host, protocol));
  const auto executor = co_await asio::this_coro::executor;
  const Deadline deadline(executor, kHandshake, [&] { stream->close(); });
  auto done = co_await stream->handshake();
  CO_TRY(std::move(done));
  co_return stream;
}

void close(Socket& socket) {
  boost::system::error_code ignored;
  socket.close(ignored);
}

}  // namespace

asio::awaitable<void> serve_plain(Socket& guest, std::string first, Destination destination,
                                  Surroundings& surroundings) {
  PlainStream stream(guest);
  ServedConnection connection{stream,
                              std::move(first),
                              std::move(destination),
                              false,
                              surroundings,
                              connect_plain(surroundings),
                              nullptr,
                              {}};
  co_await serve_http1(std::move(connection));
  close(guest);
}

asio::awaitable<void> serve_tls(Socket& guest, std::string first, Destination destination,
                                std::vector<std::string> offered, Surroundings& surroundings,
                                TlsOpener& opener) {
  // The upstream first: the guest gets the protocol that it speaks, and nothing is translated.
  const Connect connect_first = connect_tls(surroundings, opener, spoken(offered));
  auto upstream = co_await connect_first(destination);
  std::string protocol = upstream ? (*upstream)->protocol : std::string();
  if (protocol.empty() && is_among(offered, kHttp1)) protocol = kHttp1;
  // To say why there is no upstream.
  if (!upstream && protocol.empty() && is_among(offered, kHttp2)) protocol = kHttp2;
  auto stream =
      co_await accept_guest(guest, std::move(first), host_of(destination), protocol, opener);
  if (!stream) {
    RequestRecord record;
    record.destination = std::move(destination);
    record.reason = stream.error().text();
    surroundings.record(record);
    close(guest);
    co_return;
  }
  ServedConnection connection{**stream,
                              {},
                              std::move(destination),
                              true,
                              surroundings,
                              connect_tls(surroundings, opener, {std::string(kHttp1)}),
                              nullptr,
                              {}};
  if (upstream) {
    connection.upstream = *std::move(upstream);
  } else {
    connection.unreachable = std::move(upstream).error();
  }
  if (protocol == kHttp2) {
    co_await serve_http2(std::move(connection));
  } else {
    co_await serve_http1(std::move(connection));
  }
  close(guest);
}

}  // namespace agentvm::egress::http
