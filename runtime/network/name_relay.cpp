#include "runtime/network/name_relay.h"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <string>

#include "oci/base/try.h"
#include "rpc/agent.pb.h"
#include "rpc/guest_connect.h"
#include "rpc/names.h"
#include "rpc/payload.h"
#include "rpc/server.h"
#include "runtime/session/process_streams.h"

namespace agentvm::runtime {

namespace {

constexpr std::chrono::seconds kPatience{10};  // resolvers ask three servers, 3 s each, and give up
constexpr std::size_t kAtOnce = 64;

// Closes what waits too long.
template <class Socket>
class Patience {
 public:
  Patience(const asio::any_io_executor& executor, Socket& socket) : timer_(executor, kPatience) {
    timer_.async_wait([&socket](const boost::system::error_code& cancelled) {
      boost::system::error_code ignored;
      if (!cancelled) socket.close(ignored);
    });
  }

 private:
  asio::steady_timer timer_;
};

Task<std::string> ask_by_datagram(asio::ip::udp::endpoint server, std::string query) {
  const auto executor = co_await asio::this_coro::executor;
  auto socket = std::make_shared<asio::ip::udp::socket>(executor);
  boost::system::error_code code;
  socket->open(asio::ip::udp::v4(), code);
  if (!code) socket->connect(server, code);
  if (code) co_return fail_asio(code, "reach the resolver");
  const Patience patience(executor, *socket);
  const auto [unsent, sent] = co_await socket->async_send(asio::buffer(query), use_result);
  if (unsent) co_return fail_asio(unsent, "ask the resolver");
  std::string answer(rpc::kMaxNameMessage, '\0');
  const auto [lost, size] = co_await socket->async_receive(asio::buffer(answer), use_result);
  if (lost) co_return fail_asio(lost, "hear the resolver");
  answer.resize(size);
  co_return answer;
}

// RFC 1035, 4.2.2: a length of two bytes before each message.
Task<std::string> ask_by_stream(asio::ip::tcp::endpoint server, std::string query) {
  const auto executor = co_await asio::this_coro::executor;
  auto socket = std::make_shared<asio::ip::tcp::socket>(executor);
  const Patience patience(executor, *socket);
  const auto [refused] = co_await socket->async_connect(server, use_result);
  if (refused) co_return fail_asio(refused, "reach the resolver");
  const std::string framed = rpc::with_length(query);
  const auto [unsent, sent] = co_await asio::async_write(*socket, asio::buffer(framed), use_result);
  if (unsent) co_return fail_asio(unsent, "ask the resolver");
  std::array<unsigned char, 2> length{};
  const auto [silent, got] = co_await asio::async_read(*socket, asio::buffer(length), use_result);
  if (silent) co_return fail_asio(silent, "hear the resolver");
  std::string answer(rpc::length_of(length), '\0');
  const auto [lost, size] = co_await asio::async_read(*socket, asio::buffer(answer), use_result);
  if (lost) co_return fail_asio(lost, "hear the resolver");
  co_return answer;
}

struct Endpoints {
  asio::ip::udp::endpoint by_datagram;
  asio::ip::tcp::endpoint by_stream;
};

Task<std::string> resolve(Endpoints server, std::string payload) {
  agent::v1::ResolveRequest request;
  if (!rpc::deserialize(payload, request) || request.message().empty() ||
      request.message().size() > rpc::kMaxNameMessage) {
    co_return fail(ErrorKind::invalid_argument, "this is no DNS message");
  }
  std::string query = std::move(*request.mutable_message());
  auto asked = request.by_stream() ? ask_by_stream(server.by_stream, std::move(query))
                                   : ask_by_datagram(server.by_datagram, std::move(query));
  auto answered = co_await std::move(asked);
  agent::v1::ResolveResponse response;
  response.set_message(CO_TRY(std::move(answered)));
  co_return rpc::serialize(response);
}

Task<void> serve_names(UniqueFd stream, Endpoints at) {
  rpc::ServerLimits limits;
  limits.connections = 1;
  limits.calls_per_connection = kAtOnce;
  auto server = std::make_unique<rpc::Server>(limits);
  server->handle(rpc::kNamesService, rpc::kResolveMethod,
                 [at](rpc::CallContext& /*call*/, std::string payload) {
                   return resolve(at, std::move(payload));
                 });
  co_return co_await server->serve(std::move(stream));
}

Result<Endpoints> endpoints_of(const NameServer& server) {
  boost::system::error_code code;
  const auto address = asio::ip::make_address(server.address, code);
  if (code) return fail_asio(code, fmt::format("resolver '{}'", server.address));
  return Endpoints{{address, server.udp_port}, {address, server.tcp_port}};
}

}  // namespace

NameServer docker_resolver() {
  return {rpc::kResolverName, rpc::kDnsPort, rpc::kDnsPort};
}

Task<std::uint64_t> open_names(GuestLink link, NameServer server) {
  const Endpoints endpoints = CO_TRY(endpoints_of(server));
  const std::uint64_t id = make_stream_id();
  const auto directory = CO_TRY(open_vsock_directory(link.state_dir));
  auto opened = co_await rpc::open_guest_stream(directory.get(), kVsockSocket, id, link.timeout);
  auto stream = CO_TRY(std::move(opened), "open the stream of names");
  spawn<void>(co_await asio::this_coro::executor, serve_names(std::move(stream), endpoints));
  co_return id;
}

}  // namespace agentvm::runtime
