#include "rpc/server.h"

#include <fmt/format.h>

#include <exception>
#include <map>
#include <utility>

#include "oci/base/try.h"
#include "rpc/frame_stream.h"
#include "rpc/payload.h"
#include "rpc/status.h"
#include "rpc/ttrpc.pb.h"

namespace agentvm::rpc {

namespace {

std::string response_frame(std::uint32_t stream_id, const wire::Response& response) {
  auto frame = encode_frame({stream_id, FrameType::response, 0, serialize(response)});
  if (frame) return std::move(*frame);
  wire::Response instead;
  instead.mutable_status()->set_code(status_of(ErrorKind::internal));
  instead.mutable_status()->set_message("answer: " + frame.error().text());
  return *encode_frame({stream_id, FrameType::response, 0, serialize(instead)});
}

class ServerConnection final : public Connection {
 public:
  ServerConnection(ConnectionId id, std::shared_ptr<FrameStream> stream)
      : id_(id), stream_(std::move(stream)) {}

  [[nodiscard]] ConnectionId id() const override { return id_; }
  [[nodiscard]] bool closed() const override { return closed_; }

  HookId on_closed(std::function<void()> hook) override {
    const HookId hook_id = next_hook_++;
    if (closed_) {
      hook();
    } else {
      hooks_.emplace(hook_id, std::move(hook));
    }
    return hook_id;
  }

  void forget(HookId hook) override { hooks_.erase(hook); }

  void end() {
    if (std::exchange(closed_, true)) return;
    stream_->close();
    while (!hooks_.empty()) {
      const auto hook = std::move(hooks_.begin()->second);
      hooks_.erase(hooks_.begin());
      hook();
    }
  }

  void answer(std::uint32_t stream_id, Result<std::string> result) {
    if (!result) {
      refuse(stream_id, status_of(result.error().kind), result.error().text());
      return;
    }
    wire::Response response;
    response.mutable_status();
    response.set_payload(std::move(*result));
    stream_->send(response_frame(stream_id, response));
  }

  void refuse(std::uint32_t stream_id, std::int32_t code, std::string_view why) {
    wire::Response response;
    response.mutable_status()->set_code(code);
    response.mutable_status()->set_message(printable(why, kMaxMessageBytes));
    stream_->send(response_frame(stream_id, response));
  }

  [[nodiscard]] FrameStream& stream() { return *stream_; }

  std::size_t calls = 0;          // in flight
  std::uint32_t last_stream = 0;  // ids increase

 private:
  ConnectionId id_;
  std::shared_ptr<FrameStream> stream_;
  bool closed_ = false;
  HookId next_hook_ = 1;
  std::map<HookId, std::function<void()>> hooks_;
};

std::optional<std::chrono::steady_clock::time_point> deadline_of(const wire::Request& request) {
  // A deadline far away is none; it would overflow the clock.
  constexpr std::chrono::nanoseconds kFarAway = std::chrono::hours(24 * 365);
  const std::chrono::nanoseconds timeout(request.timeout_nano());
  if (timeout.count() <= 0 || timeout > kFarAway) return std::nullopt;
  return std::chrono::steady_clock::now() + timeout;
}

}  // namespace

struct Server::State {
  [[nodiscard]] static Task<void> serve(std::shared_ptr<State> self, UniqueFd socket);
  [[nodiscard]] static Task<void> serve_frames(std::shared_ptr<State> self,
                                               std::shared_ptr<ServerConnection> connection);
  void start_call(const std::shared_ptr<ServerConnection>& connection,
                  const asio::any_io_executor& executor, Frame frame);

  ServerLimits limits;
  std::map<std::string, std::shared_ptr<const Handler>> handlers;  // by "service/method"
  std::map<ConnectionId, std::shared_ptr<ServerConnection>> live;
  ConnectionId next_id = 1;
  bool gone = false;
};

namespace {

asio::awaitable<void> run_call(std::shared_ptr<ServerConnection> connection,
                               std::shared_ptr<const Handler> handler, CallContext context,
                               std::string payload, std::uint32_t stream_id) {
  Result<std::string> result = fail(ErrorKind::internal, "the handler gave no answer");
  try {
    result = co_await (*handler)(context, std::move(payload));
  } catch (const std::exception& thrown) {
    result = fail(ErrorKind::internal, fmt::format("the handler failed: {}", thrown.what()));
  }
  --connection->calls;
  connection->answer(stream_id, std::move(result));
}

// Takes the connection off the list and runs its hooks, even when the coroutine that serves it is
// destroyed half way.
class Registered {
 public:
  Registered(std::shared_ptr<Server::State> state, std::shared_ptr<ServerConnection> connection)
      : state_(std::move(state)), connection_(std::move(connection)) {
    state_->live.emplace(connection_->id(), connection_);
  }
  ~Registered() {
    state_->live.erase(connection_->id());
    connection_->end();
  }
  Registered(const Registered&) = delete;
  Registered& operator=(const Registered&) = delete;

 private:
  std::shared_ptr<Server::State> state_;
  std::shared_ptr<ServerConnection> connection_;
};

}  // namespace

Task<void> Server::State::serve(std::shared_ptr<State> self, UniqueFd socket) {
  if (self->gone) co_return fail(ErrorKind::unavailable, "the server is gone");
  if (self->live.size() >= self->limits.connections) {
    co_return fail(ErrorKind::unavailable,
                   fmt::format("{} connections are open already", self->live.size()));
  }
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  auto stream = CO_TRY(FrameStream::create(executor, std::move(socket)));
  auto connection = std::make_shared<ServerConnection>(self->next_id++, std::move(stream));
  const Registered registered(self, connection);
  co_return co_await serve_frames(self, connection);
}

Task<void> Server::State::serve_frames(std::shared_ptr<State> self,
                                       std::shared_ptr<ServerConnection> connection) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  for (;;) {
    co_await connection->stream().wait_unsent(self->limits.unsent_bytes);
    auto next = co_await connection->stream().read();
    auto frame = CO_TRY(std::move(next));
    if (!frame) co_return Result<void>{};
    if (frame->type != FrameType::request) {
      co_return fail(ErrorKind::invalid_argument, "the client sent a response");
    }
    if (frame->stream_id <= connection->last_stream) {
      co_return fail(ErrorKind::invalid_argument,
                     fmt::format("stream {} was opened after stream {}", frame->stream_id,
                                 connection->last_stream));
    }
    connection->last_stream = frame->stream_id;
    self->start_call(connection, executor, std::move(*frame));
  }
}

void Server::State::start_call(const std::shared_ptr<ServerConnection>& connection,
                               const asio::any_io_executor& executor, Frame frame) {
  const std::uint32_t id = frame.stream_id;
  if (frame.flags != 0) {
    return connection->refuse(id, kStatusUnimplemented, "streaming is not supported");
  }
  wire::Request request;
  if (!deserialize(frame.data, request)) {
    return connection->refuse(id, status_of(ErrorKind::invalid_argument), "not a ttrpc request");
  }
  const auto found = handlers.find(request.service() + "/" + request.method());
  if (found == handlers.end()) {
    return connection->refuse(
        id, kStatusUnimplemented,
        fmt::format("no method '{}' in service '{}'", request.method(), request.service()));
  }
  if (connection->calls >= limits.calls_per_connection) {
    return connection->refuse(
        id, status_of(ErrorKind::unavailable),
        fmt::format("{} calls are in flight on this connection", connection->calls));
  }
  ++connection->calls;
  spawn(executor, run_call(connection, found->second, {connection, deadline_of(request)},
                           std::move(*request.mutable_payload()), id));
}

Server::Server(ServerLimits limits) : state_(std::make_shared<State>()) {
  state_->limits = limits;
}

Server::~Server() {
  state_->gone = true;
  // A hook may end other connections: the list is not walked while they run.
  const auto live = std::exchange(state_->live, {});
  for (const auto& [id, connection] : live) connection->end();
}

void Server::handle(std::string service, std::string method, Handler handler) {
  state_->handlers.insert_or_assign(std::move(service.append("/").append(method)),
                                    std::make_shared<const Handler>(std::move(handler)));
}

Task<void> Server::serve(UniqueFd connection) {
  return State::serve(state_, std::move(connection));
}

std::size_t Server::connections() const {
  return state_->live.size();
}

}  // namespace agentvm::rpc
