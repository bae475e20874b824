#include "shim/event_publisher.h"

#include <fcntl.h>
#include <google/protobuf/message_lite.h>
#include <sys/socket.h>

#include <filesystem>
#include <optional>

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "rpc/client.h"
#include "rpc/containerd/events.pb.h"
#include "rpc/payload.h"
#include "shim/timestamp.h"

namespace agentvm::shim {

namespace {

constexpr const char* kService = "containerd.services.events.ttrpc.v1.Events";
constexpr std::chrono::milliseconds kCallTimeout{5000};
constexpr std::chrono::milliseconds kFirstPause{50};
constexpr std::chrono::milliseconds kLongestPause{2000};

struct Queued {
  std::string topic;
  std::string payload;  // of the call
};

Result<UniqueFd> connect_to(const std::string& address) {
  const std::filesystem::path path(address);
  const auto directory =
      TRY(sys::open_at(AT_FDCWD, path.parent_path().string(), O_PATH | O_DIRECTORY));
  return sys::connect_unix_at(directory.get(), path.filename().string(), SOCK_NONBLOCK);
}

}  // namespace

struct EventPublisher::State {
  State(const asio::any_io_executor& on, std::string to, std::string in_namespace)
      : executor(on),
        address(std::move(to)),
        name_space(std::move(in_namespace)),
        changed(on, asio::steady_timer::time_point::max()),
        pause(on) {}

  [[nodiscard]] static asio::awaitable<void> run(std::shared_ptr<State> self);
  [[nodiscard]] Task<void> send(const Queued& event);

  asio::any_io_executor executor;
  std::string address;
  std::string name_space;
  std::deque<Queued> queue;  // the first one may be on its way
  std::uint64_t dropped = 0;
  std::optional<rpc::Client> client;
  asio::steady_timer changed;  // never expires: cancelling it wakes run() and drain()
  asio::steady_timer pause;
  bool running = false;
  bool gone = false;
};

Task<void> EventPublisher::State::send(const Queued& event) {
  if (!client) {
    auto socket = CO_TRY(connect_to(address));
    client = CO_TRY(rpc::Client::create(executor, std::move(socket)));
  }
  auto answer = co_await client->call(kService, "Forward", event.payload, kCallTimeout);
  CO_TRY(std::move(answer));
  co_return Result<void>{};
}

asio::awaitable<void> EventPublisher::State::run(std::shared_ptr<State> self) {
  auto wait = kFirstPause;
  while (!self->gone && !self->queue.empty()) {
    const Queued event = self->queue.front();
    const std::uint64_t dropped = self->dropped;
    const auto sent = co_await self->send(event);
    if (!sent && sent.error().kind != ErrorKind::invalid_argument) {
      // containerd restarts, or is busy. An event that came twice is one that was answered late.
      self->client.reset();
      log::debug("event {}: {}", event.topic, sent.error().text());
      self->pause.expires_after(wait);
      (void)co_await self->pause.async_wait(use_result);
      wait = std::min(2 * wait, kLongestPause);
      continue;
    }
    if (!sent) log::error("event {} was refused: {}", event.topic, sent.error().text());
    wait = kFirstPause;
    if (!self->queue.empty() && self->dropped == dropped) self->queue.pop_front();
  }
  self->running = false;
  self->changed.cancel();
}

EventPublisher::EventPublisher(const asio::any_io_executor& executor, std::string address,
                               std::string name_space) {
  constexpr std::string_view kScheme = "unix://";
  if (address.starts_with(kScheme)) address.erase(0, kScheme.size());
  state_ = std::make_shared<State>(executor, std::move(address), std::move(name_space));
}

EventPublisher::~EventPublisher() {
  state_->gone = true;
  state_->pause.cancel();
}

void EventPublisher::publish(std::string topic, std::string type,
                             const google::protobuf::MessageLite& event) {
  log::debug("event {}", topic);
  if (state_->address.empty()) return;
  containerd::events::ForwardRequest request;
  auto& envelope = *request.mutable_envelope();
  *envelope.mutable_timestamp() = to_timestamp(std::chrono::system_clock::now());
  envelope.set_namespace_(state_->name_space);
  envelope.set_topic(topic);
  envelope.mutable_event()->set_type_url(std::move(type));
  envelope.mutable_event()->set_value(rpc::serialize(event));
  if (state_->queue.size() >= kMostQueued) {
    log::error("event {} is lost: containerd does not take any", state_->queue.front().topic);
    state_->queue.pop_front();
    ++state_->dropped;
  }
  state_->queue.push_back({std::move(topic), rpc::serialize(request)});
  if (state_->running) return;
  state_->running = true;
  asio::co_spawn(state_->executor, State::run(state_), asio::detached);
}

asio::awaitable<bool> EventPublisher::drain(std::chrono::milliseconds patience) {
  const auto state = state_;
  asio::steady_timer deadline(state->executor, patience);
  deadline.async_wait([state](const boost::system::error_code&) { state->changed.cancel(); });
  const auto end = std::chrono::steady_clock::now() + patience;
  while (state->running && std::chrono::steady_clock::now() < end) {
    (void)co_await state->changed.async_wait(use_result);
  }
  co_return state->queue.empty();
}

}  // namespace agentvm::shim
