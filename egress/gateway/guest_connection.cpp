#include "egress/gateway/guest_connection.h"

#include <fmt/format.h>

#include <algorithm>

#include "egress/gateway/connector.h"
#include "oci/base/try.h"

namespace agentvm::egress {

namespace {

using asio::ip::tcp;

constexpr std::size_t kMaxRequested = 64;
constexpr std::size_t kMaxOthers = 3;
// A shell that nobody types into; and a peer that has ended and waits for nothing any more.
constexpr std::chrono::hours kIdle{4};
constexpr std::chrono::minutes kHalfClosedIdle{5};
constexpr std::chrono::minutes kKeepAlive{2};

// Who speaks first tells what to wait for. Where that is not known, little is waited.
constexpr Patience kClientFirst{std::chrono::seconds(10), std::chrono::seconds(10)};
constexpr Patience kUnknown{std::chrono::milliseconds(300), std::chrono::seconds(10)};

constexpr std::uint16_t kServerFirstPorts[] = {21,  22,   25,   110,  119,  143, 194,
                                               587, 2222, 3306, 5900, 6667, 8022};
constexpr std::uint16_t kClientFirstPorts[] = {80,   443,  465,  853,  993,  995,  3000,
                                               4443, 5000, 8000, 8080, 8443, 8888, 9443};

bool is_among(std::span<const std::uint16_t> ports, std::uint16_t port) {
  return std::ranges::find(ports, port) != ports.end();
}

Judgement denied_because(std::string reason) {
  Judgement judgement;
  judgement.reason = std::move(reason);
  return judgement;
}

void keep_alive(tcp::socket& socket) {
  using Idle = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPIDLE>;
  boost::system::error_code ignored;
  (void)socket.set_option(asio::socket_base::keep_alive(true), ignored);
  (void)socket.set_option(Idle(static_cast<int>(std::chrono::seconds(kKeepAlive).count())),
                          ignored);
}

}  // namespace

asio::awaitable<void> GuestConnection::run() {
  const auto self = shared_from_this();
  ++state_.counters.connections;
  keep_alive(guest_);
  if (const auto found = find_destination(); !found) {
    deny("tcp", denied_because(found.error().text()));
    co_return;
  }
  co_await serve();
}

Result<void> GuestConnection::find_destination() {
  there_ = TRY(original_destination(guest_.native_handle()));
  boost::system::error_code code;
  const auto local = guest_.local_endpoint(code);
  if (code) return fail_errno(code.value(), "the guest has gone");
  const auto remote = guest_.remote_endpoint(code);
  if (code) return fail_errno(code.value(), "the guest has gone");
  // Not redirected, or from this namespace itself: a way round in circles.
  if (there_ == address_of(local) || remote.address() == local.address()) {
    return fail(ErrorKind::invalid_argument, "it is for the gateway itself");
  }
  return {};
}

Approach GuestConnection::approach() const {
  return {.address = there_.address,
          .port = there_.port,
          .names = state_.pins.names_of(there_.address, Clock::now())};
}

asio::awaitable<void> GuestConnection::serve() {
  if (is_among(kServerFirstPorts, there_.port)) {
    co_await serve_raw();
    co_return;
  }
  const bool client_first = is_among(kClientFirstPorts, there_.port);
  const std::shared_ptr<tcp::socket> socket(shared_from_this(), &guest_);
  FirstBytes first = co_await read_first_bytes(socket, client_first ? kClientFirst : kUnknown);
  if (!guest_.is_open()) co_return;
  switch (first.spoken) {
    case Spoken::nothing:
      if (client_first) {
        deny("tcp", denied_because("the client says nothing"));
        co_return;
      }
      co_await serve_raw();
      co_return;
    case Spoken::tls:
      co_await serve_tls(std::move(first.hello));
      co_return;
    case Spoken::http:
      co_await serve_requests();
      co_return;
    case Spoken::other:
      co_await serve_raw();
      co_return;
    case Spoken::unclear:
    case Spoken::broken:
      deny(first.spoken == Spoken::broken ? "tls" : "tcp", denied_because(first.error));
      co_return;
  }
}

asio::awaitable<void> GuestConnection::pin_if_allowed(std::string name) {
  if (state_.settings->policy.decide_name(name).verdict == Verdict::deny) co_return;
  DnsQuestion question{.name = std::move(name),
                       .type = is_ipv4(there_.address) ? kDnsA : kDnsAaaa,
                       .klass = kDnsInternet};
  (void)co_await names_.look_up(std::move(question));
}

asio::awaitable<void> GuestConnection::serve_tls(ClientHello hello) {
  // Clients that keep addresses for longer than they were told are not the ones to be refused.
  if (!hello.server_name.empty() && !is_pinned(hello.server_name, there_.address)) {
    co_await pin_if_allowed(hello.server_name);
  }
  Judgement judgement = judge_tls(*state_.settings, approach(), hello);
  if (judgement.way == Way::deny) {
    deny("tls", judgement);
    co_return;
  }
  if (judgement.way == Way::pass) {
    co_await pass(std::move(judgement), "tls");
    co_return;
  }
  if (!state_.opener) {
    judgement.reason = "its requests would have to be looked at, and the sandbox has no authority";
    deny("tls", judgement);
    co_return;
  }
  stage_ = Stage::requests;
  http::Destination destination{
      .name = judgement.name, .address = there_.address, .port = there_.port};
  requested_.push_back(destination);
  co_await http::serve_tls(guest_, {}, destination, hello.alpn, *this, *state_.opener);
}

asio::awaitable<void> GuestConnection::serve_requests() {
  stage_ = Stage::requests;
  http::Destination destination{.name = {}, .address = there_.address, .port = there_.port};
  co_await http::serve_plain(guest_, {}, destination, *this);
}

asio::awaitable<void> GuestConnection::serve_raw() {
  const bool server_first = is_among(kServerFirstPorts, there_.port);
  Judgement judgement = judge_raw(*state_.settings, approach(), server_first);
  if (judgement.way == Way::deny) {
    deny("tcp", judgement);
    co_return;
  }
  co_await pass(std::move(judgement), "tcp");
}

asio::awaitable<void> GuestConnection::pass(Judgement judgement, std::string_view protocol) {
  judgement_ = std::move(judgement);
  stage_ = Stage::passing;
  http::Destination destination{
      .name = judgement_.name, .address = there_.address, .port = there_.port};
  auto connected = co_await connect(destination);
  if (!guest_.is_open()) co_return;
  if (!connected) {
    judgement_.reason = connected.error().text();
    write(protocol, judgement_, true);
    reset(guest_);
    co_return;
  }
  upstream_ = std::move(*connected);
  keep_alive(upstream_);
  co_await relay(guest_, upstream_, state_.pipes, traffic_);
  state_.counters.bytes_in += traffic_.to_first;
  state_.counters.bytes_out += traffic_.to_second;
  write(protocol, judgement_, true);
}

bool GuestConnection::is_pinned(std::string_view name, const Address& address) {
  return state_.pins.holds(name, address, Clock::now());
}

Task<Socket> GuestConnection::connect(const http::Destination& destination) {
  const auto settings = state_.settings;  // lives as long as the proxy is asked
  const AddressPort there{.address = destination.address, .port = destination.port};
  if (stage_ == Stage::requests && requested_.size() < kMaxRequested &&
      std::ranges::find(requested_, destination) == requested_.end()) {
    requested_.push_back(destination);
  }
  if (settings->upstream_proxy) {
    co_return co_await connect_through(*settings->upstream_proxy, state_.resolver, destination.name,
                                       there);
  }
  auto connected = co_await connect_to(there);
  // A name that the client says of an address that is not that name's leads nowhere else.
  if (connected || !is_pinned(destination.name, there.address)) co_return connected;
  // The guest's connection stands already, so it will not try the name's other addresses itself.
  std::size_t tried = 0;
  for (const Address& other : state_.pins.addresses_of(destination.name, Clock::now())) {
    const Peer peer{destination.name, other, there.port};
    if (other == there.address || !guest_.is_open() || tried++ == kMaxOthers) continue;
    if (settings->decide_connection(peer).verdict == Verdict::deny) continue;
    auto next = co_await connect_to({.address = other, .port = there.port});
    if (next) co_return next;
  }
  co_return connected;
}

void GuestConnection::record(const http::RequestRecord& from) {
  DecisionRecord to;
  to.protocol = "http";
  to.host = from.destination.name;
  to.port = from.destination.port;
  to.address = to_text(from.destination.address);
  to.method = from.method;
  to.path = from.path;
  to.allowed = from.allowed;
  to.rule = from.rule;
  to.layer = from.layer;
  to.reason = from.reason;
  to.bytes_in = from.bytes_in;
  to.bytes_out = from.bytes_out;
  to.credentials = from.credentials;
  state_.counters.bytes_in += from.bytes_in;
  state_.counters.bytes_out += from.bytes_out;
  state_.log.write(to);
}

void GuestConnection::write(std::string_view protocol, const Judgement& judgement, bool allowed) {
  DecisionRecord record;
  record.protocol = protocol;
  record.host = judgement.name;
  record.port = there_.port;
  record.address = to_text(there_.address);
  record.allowed = allowed;
  record.rule = judgement.rule;
  record.layer = judgement.layer;
  record.reason = judgement.reason;
  record.bytes_in = traffic_.to_first;
  record.bytes_out = traffic_.to_second;
  state_.log.write(record);
}

void GuestConnection::deny(std::string_view protocol, const Judgement& judgement) {
  write(protocol, judgement, false);
  reset(guest_);
}

void GuestConnection::close() {
  reset(guest_);
  if (upstream_.is_open()) reset(upstream_);
}

bool GuestConnection::reconsider() {
  const Settings& settings = *state_.settings;
  bool holds = true;
  if (stage_ == Stage::passing) {
    holds = still_holds(settings, judgement_, approach());
  } else if (stage_ == Stage::requests) {
    holds = std::ranges::all_of(requested_, [&](const http::Destination& to) {
      const Peer peer{to.name, to.address, to.port};
      return settings.decide_connection(peer).verdict != Verdict::deny;
    });
  }
  if (holds) return false;
  judgement_.reason = "the policy has changed";
  close();
  return true;
}

void GuestConnection::close_if_idle(Clock::time_point now) {
  if (stage_ != Stage::passing) return;
  const auto limit =
      traffic_.half_closed ? Clock::duration(kHalfClosedIdle) : Clock::duration(kIdle);
  if (now - traffic_.active < limit) return;
  judgement_.reason = "nothing has come through for long";
  close();
}

}  // namespace agentvm::egress
