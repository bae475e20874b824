#include "runtime/monitor/control_server.h"

#include <sys/socket.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/channel.h"

namespace agentvm::runtime {

struct ControlServer::State {
  UniqueFd listener;
  std::function<Task<void>()> start;
  asio::cancellation_signal stop;
  bool stopped = false;
};

namespace {

// One connection: a request, its answer.
Task<void> serve(std::function<Task<void>()>& start, Channel channel) {
  auto received = co_await channel.async_receive();
  const auto message = CO_TRY(std::move(received));
  if (!message) co_return Result<void>{};
  if (message->type != MessageType::start) {
    co_return channel.send({MessageType::failed,
                            "",
                            {ErrorKind::invalid_argument, 0, "the monitor only takes 'start'"}});
  }
  auto started = co_await start();
  if (!started) {
    co_return channel.send({MessageType::failed, "", std::move(started).error()});
  }
  co_return channel.send({MessageType::done, "", {}});
}

}  // namespace

Result<std::unique_ptr<ControlServer>> ControlServer::create(const asio::any_io_executor& executor,
                                                             int state_dir,
                                                             std::function<Task<void>()> start) {
  auto state = std::make_shared<State>();
  state->listener = TRY(sys::listen_unix_at(state_dir, kControlSocket, 0600));
  state->start = std::move(start);
  asio::co_spawn(
      executor,
      [](std::shared_ptr<State> held) -> asio::awaitable<void> {
        while (!held->stopped) {
          if (auto ready = co_await wait_readable(held->listener.get()); !ready) co_return;
          UniqueFd connection(::accept4(held->listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
          // A client that leaves half way harms only itself.
          if (connection) (void)co_await serve(held->start, Channel(std::move(connection)));
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
