#include "rpc/client.h"

#include <fmt/format.h>

#include <cerrno>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "oci/base/try.h"
#include "rpc/frame_stream.h"
#include "rpc/payload.h"
#include "rpc/status.h"
#include "rpc/ttrpc.pb.h"

namespace agentvm::rpc {

namespace {

constexpr std::size_t kMaxCallsInFlight = 1024;

// A call that waits for its answer.
struct Waiting {
  Waiting(const asio::any_io_executor& executor, std::chrono::milliseconds timeout)
      : wake(executor, asio::steady_timer::time_point::max()) {
    if (timeout != kNoDeadline) wake.expires_after(timeout);
  }
  asio::steady_timer wake;  // the deadline; cancelling it wakes the call early
  std::optional<Result<std::string>> answer;
};

Result<std::string> answer_of(const Frame& frame) {
  wire::Response response;
  if (!deserialize(frame.data, response)) {
    return fail(ErrorKind::unavailable, "the answer is no ttrpc response");
  }
  const wire::Status& status = response.status();
  if (status.code() == kStatusOk) return std::move(*response.mutable_payload());
  return fail(kind_of_status(status.code()), printable(status.message(), kMaxMessageBytes));
}

}  // namespace

struct Client::State {
  State(asio::any_io_executor on, std::shared_ptr<FrameStream> over)
      : executor(std::move(on)),
        stream(std::move(over)),
        closed(executor, asio::steady_timer::time_point::max()) {}

  [[nodiscard]] static asio::awaitable<void> read_answers(std::shared_ptr<State> self);
  [[nodiscard]] static Task<std::string> call(std::shared_ptr<State> self, std::string method,
                                              std::string request,
                                              std::chrono::milliseconds timeout);
  [[nodiscard]] static Task<void> wait_closed(std::shared_ptr<State> self);

  // Sends `data` as the next stream's request; its id.
  Result<std::uint32_t> send_request(std::string data);
  void take(const Frame& frame);
  void finish(Result<void> how);
  [[nodiscard]] std::unexpected<Error> ended_error() const;

  asio::any_io_executor executor;
  std::shared_ptr<FrameStream> stream;
  std::map<std::uint32_t, Waiting*> waiting;
  std::uint32_t next_id = 1;
  std::optional<Result<void>> ended;
  asio::steady_timer closed;  // never expires: cancelling it wakes wait_closed()
};

namespace {

// A call's place on the list, given up even when its coroutine is destroyed half way.
class Listed {
 public:
  Listed(Client::State& state, std::uint32_t id, Waiting& waiting) : state_(state), id_(id) {
    state_.waiting.emplace(id, &waiting);
  }
  ~Listed() { state_.waiting.erase(id_); }
  Listed(const Listed&) = delete;
  Listed& operator=(const Listed&) = delete;

 private:
  Client::State& state_;
  std::uint32_t id_;
};

}  // namespace

asio::awaitable<void> Client::State::read_answers(std::shared_ptr<State> self) {
  for (;;) {
    auto frame = co_await self->stream->read();
    if (!frame) co_return self->finish(std::unexpected(std::move(frame).error()));
    if (!*frame) co_return self->finish({});
    if ((*frame)->type != FrameType::response) {
      co_return self->finish(fail(ErrorKind::unavailable, "the server sent a request"));
    }
    self->take(**frame);
  }
}

// An answer to a call that has been given up is dropped.
void Client::State::take(const Frame& frame) {
  const auto found = waiting.find(frame.stream_id);
  if (found == waiting.end()) return;
  found->second->answer = answer_of(frame);
  found->second->wake.cancel();
}

void Client::State::finish(Result<void> how) {
  if (ended) return;
  ended = std::move(how);
  stream->close();
  for (const auto& [id, call] : waiting) {
    if (!call->answer) call->answer = ended_error();
    call->wake.cancel();
  }
  closed.cancel();
}

std::unexpected<Error> Client::State::ended_error() const {
  Error error{ErrorKind::unavailable, 0, "the connection has ended"};
  if (!*ended) {
    error = Error(ended->error()).wrap(error.message);
    error.kind = ErrorKind::unavailable;
  }
  return std::unexpected(std::move(error));
}

Result<std::uint32_t> Client::State::send_request(std::string data) {
  if (ended) return ended_error();
  if (waiting.size() >= kMaxCallsInFlight) {
    return fail(ErrorKind::unavailable, fmt::format("{} calls wait already", waiting.size()));
  }
  if (next_id == std::numeric_limits<std::uint32_t>::max()) {
    return fail(ErrorKind::unavailable, "the connection has no stream ids left");
  }
  auto bytes = TRY(encode_frame({next_id, FrameType::request, 0, std::move(data)}));
  stream->send(std::move(bytes));
  return std::exchange(next_id, next_id + 2);
}

Task<std::string> Client::State::call(std::shared_ptr<State> self, std::string method,
                                      std::string request, std::chrono::milliseconds timeout) {
  const std::uint32_t id = CO_TRY(self->send_request(std::move(request)), "call {}", method);
  Waiting waiting(self->executor, timeout);
  const Listed listed(*self, id, waiting);
  const auto [code] = co_await waiting.wake.async_wait(use_result);
  if (waiting.answer) co_return std::move(*waiting.answer);
  if (code) co_return fail_errno(ECANCELED, fmt::format("call {}", method));
  co_return fail(ErrorKind::unavailable,
                 fmt::format("call {}: no answer within {} ms", method, timeout.count()));
}

Task<void> Client::State::wait_closed(std::shared_ptr<State> self) {
  if (!self->ended) co_await self->closed.async_wait(use_result);
  if (!self->ended) co_return fail_errno(ECANCELED, "wait for the connection's end");
  co_return *self->ended;
}

Client::Client(std::shared_ptr<State> state) : state_(std::move(state)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&& other) noexcept {
  close();
  state_ = std::move(other.state_);
  return *this;
}
Client::~Client() {
  close();
}

void Client::close() {
  if (state_) state_->finish({});
}

Result<Client> Client::create(const asio::any_io_executor& executor, UniqueFd connection) {
  auto stream = TRY(FrameStream::create(executor, std::move(connection)));
  auto state = std::make_shared<State>(executor, std::move(stream));
  spawn(executor, State::read_answers(state));
  return Client(std::move(state));
}

Task<std::string> Client::call(std::string service, std::string method, std::string payload,
                               std::chrono::milliseconds timeout) {
  // Nanoseconds in 64 bits reach no further than some centuries.
  if (timeout > std::chrono::years(100)) timeout = kNoDeadline;
  wire::Request request;
  request.set_service(std::move(service));
  request.set_method(method);
  request.set_payload(std::move(payload));
  request.set_timeout_nano(std::chrono::nanoseconds(timeout).count());
  return State::call(state_, std::move(method), serialize(request), timeout);
}

Task<void> Client::wait_closed() {
  return State::wait_closed(state_);
}

}  // namespace agentvm::rpc
