#include "guest-agent/network/names.h"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <optional>
#include <string>

#include "guest-agent/boot.h"
#include "guest-agent/network/name_port.h"
#include "oci/base/try.h"
#include "rpc/agent.pb.h"
#include "rpc/client.h"
#include "rpc/names.h"
#include "rpc/payload.h"

namespace agentvm::guest {

namespace {

using asio::ip::tcp;
using asio::ip::udp;

const asio::ip::address kAddress = asio::ip::make_address_v4(rpc::kResolverAddress);
constexpr std::chrono::seconds kPatience{12};
// As many as the host answers at a time. What comes beyond is dropped, and asked again.
constexpr int kAtOnce = 64;
constexpr int kConnections = 32;

// Above the ports that Linux gives to programs.
constexpr std::uint16_t kHighestPort = 65535;
constexpr std::uint16_t kLowestPort = 61000;

template <class Socket, class Endpoint>
boost::system::error_code bind(Socket& socket, const Endpoint& endpoint) {
  boost::system::error_code code;
  boost::system::error_code ignored;
  socket.close(ignored);
  socket.open(endpoint.protocol(), code);
  if (!code) socket.bind(endpoint, code);
  return code;
}

// A port that is free for both.
Result<std::uint16_t> bind_both(udp::socket& datagrams, tcp::acceptor& streams) {
  boost::system::error_code code;
  for (std::uint16_t port = kHighestPort; port >= kLowestPort; --port) {
    code = bind(datagrams, udp::endpoint(kAddress, port));
    if (!code) code = bind(streams, tcp::endpoint(kAddress, port));
    if (!code) return port;
    if (code != asio::error::address_in_use) break;
  }
  return fail_asio(code, "listen on 127.0.0.11");
}

}  // namespace

struct Names::State {
  State(const asio::any_io_executor& on, rpc::Client host)
      : executor(on), client(std::move(host)), datagrams(on), streams(on) {}
  asio::any_io_executor executor;
  rpc::Client client;
  udp::socket datagrams;
  tcp::acceptor streams;
  std::optional<NamePort> port;
  int asking = 0;
  int connections = 0;
};

namespace {

template <class State>
Task<std::string> ask(std::shared_ptr<State> state, std::string message, bool by_stream) {
  if (state->asking == kAtOnce) co_return fail(ErrorKind::unavailable, "too many questions");
  ++state->asking;
  agent::v1::ResolveRequest request;
  request.set_message(std::move(message));
  request.set_by_stream(by_stream);
  auto answered = co_await state->client.call(rpc::kNamesService, rpc::kResolveMethod,
                                              rpc::serialize(request), kPatience);
  --state->asking;
  const std::string payload = CO_TRY(std::move(answered));
  agent::v1::ResolveResponse response;
  if (!rpc::deserialize(payload, response) || response.message().size() > rpc::kMaxNameMessage) {
    co_return fail(ErrorKind::unavailable, "the host's answer is not understood");
  }
  co_return std::move(*response.mutable_message());
}

template <class State>
asio::awaitable<void> answer_datagram(std::shared_ptr<State> state, std::string question,
                                      udp::endpoint from) {
  auto answer = co_await ask(state, std::move(question), false);
  // A resolver that does not answer is one whose silence the program times.
  if (answer) co_await state->datagrams.async_send_to(asio::buffer(*answer), from, use_result);
}

// One connection, any number of questions.
template <class State>
asio::awaitable<void> answer_stream(std::shared_ptr<State> state, tcp::socket connection) {
  for (;;) {
    std::array<unsigned char, 2> length{};
    const auto [ended, n] = co_await asio::async_read(connection, asio::buffer(length), use_result);
    if (ended) break;
    std::string question(rpc::length_of(length), '\0');
    const auto [broken, m] =
        co_await asio::async_read(connection, asio::buffer(question), use_result);
    if (broken || question.empty()) break;
    auto answer = co_await ask(state, std::move(question), true);
    if (!answer) break;
    const std::string framed = rpc::with_length(*answer);
    const auto [lost, sent] =
        co_await asio::async_write(connection, asio::buffer(framed), use_result);
    if (lost) break;
  }
  --state->connections;
}

}  // namespace

Result<std::unique_ptr<Names>> Names::create(const asio::any_io_executor& executor,
                                             UniqueFd stream) {
  auto client = TRY(rpc::Client::create(executor, std::move(stream)));
  auto state = std::make_shared<State>(executor, std::move(client));
  const std::uint16_t port = TRY(bind_both(state->datagrams, state->streams));
  boost::system::error_code code;
  state->streams.listen(kConnections, code);
  if (code) return fail_asio(code, "listen on 127.0.0.11");
  state->port.emplace(TRY(NamePort::create(kCgroupRoot, port)));
  asio::co_spawn(executor, serve_datagrams(state), asio::detached);
  asio::co_spawn(executor, serve_streams(state), asio::detached);
  return std::unique_ptr<Names>(new Names(std::move(state)));
}

Names::~Names() {
  boost::system::error_code ignored;
  state_->datagrams.close(ignored);
  state_->streams.close(ignored);
  state_->port.reset();
  state_->client.close();
}

asio::awaitable<void> Names::serve_datagrams(std::shared_ptr<State> state) {
  std::string buffer(rpc::kMaxNameMessage, '\0');
  while (state->datagrams.is_open()) {
    udp::endpoint from;
    const auto [code, size] =
        co_await state->datagrams.async_receive_from(asio::buffer(buffer), from, use_result);
    if (code == asio::error::operation_aborted) co_return;
    if (code || size == 0) continue;
    asio::co_spawn(state->executor, answer_datagram(state, buffer.substr(0, size), from),
                   asio::detached);
  }
}

asio::awaitable<void> Names::serve_streams(std::shared_ptr<State> state) {
  while (state->streams.is_open()) {
    tcp::socket connection(state->executor);
    const auto [code] = co_await state->streams.async_accept(connection, use_result);
    if (code == asio::error::operation_aborted) co_return;
    if (code || state->connections == kConnections) continue;
    ++state->connections;
    asio::co_spawn(state->executor, answer_stream(state, std::move(connection)), asio::detached);
  }
}

}  // namespace agentvm::guest
