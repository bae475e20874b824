#include "runtime/monitor/control_server.h"

#include <sys/socket.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/growth.h"

namespace agentvm::runtime {

struct ControlServer::State {
  UniqueFd listener;
  Verbs verbs;
  asio::cancellation_signal stop;
  bool stopped = false;
};

namespace {

Task<void> carry_out(ControlServer::Verbs& verbs, Message request) {
  if (request.type == MessageType::start) co_return co_await verbs.start();
  if (request.type == MessageType::grow && verbs.grow) {
    const auto size = CO_TRY(parse_size(request.text));
    co_return co_await verbs.grow(size);
  }
  co_return fail(ErrorKind::invalid_argument, "the container's monitor does not take this");
}

// One connection: a request, its answer.
Task<void> serve(ControlServer::Verbs& verbs, Channel channel) {
  auto received = co_await channel.async_receive();
  auto message = CO_TRY(std::move(received));
  if (!message) co_return Result<void>{};
  const bool of_member =
      message->type == MessageType::attach || message->type == MessageType::detach;
  if (of_member && verbs.of_member) {
    verbs.of_member(std::move(channel), *std::move(message));
    co_return Result<void>{};
  }
  auto done = co_await carry_out(verbs, *std::move(message));
  co_return channel.send(answer_of(done));
}

}  // namespace

Result<std::unique_ptr<ControlServer>> ControlServer::create(const asio::any_io_executor& executor,
                                                             int state_dir, Verbs verbs) {
  auto state = std::make_shared<State>();
  state->listener = TRY(sys::listen_unix_at(state_dir, kControlSocket, 0600));
  state->verbs = std::move(verbs);
  asio::co_spawn(
      executor,
      [](std::shared_ptr<State> held) -> asio::awaitable<void> {
        while (!held->stopped) {
          if (auto ready = co_await wait_readable(held->listener.get()); !ready) co_return;
          UniqueFd connection(::accept4(held->listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
          // A client that leaves half way harms only itself.
          if (connection) (void)co_await serve(held->verbs, Channel(std::move(connection)));
        }
      }(state),
      // The signal must outlive the coroutine that it cancels.
      asio::bind_cancellation_slot(state->stop.slot(), [state](const std::exception_ptr&) {}));
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(state)));
}

ControlServer::~ControlServer() {
  state_->stopped = true;
  state_->stop.emit(asio::cancellation_type::all);
}

}  // namespace agentvm::runtime
