#include "shim/terminal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <cerrno>
#include <optional>

#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "rpc/stream_relay.h"

namespace agentvm::shim {

struct Terminal::State {
  State(const asio::any_io_executor& on, std::string in_bundle, std::string as)
      : executor(on), bundle(std::move(in_bundle)), name(std::move(as)), output_ended(on) {}

  asio::any_io_executor executor;
  std::string bundle;
  std::string name;
  UniqueFd listener;
  UniqueFd input_master;  // each direction has a descriptor of its own
  UniqueFd output_master;
  UniqueFd in;
  UniqueFd out;
  std::optional<runtime::WindowSize> size;  // asked for before there was a master
  asio::cancellation_signal stop_input;
  asio::cancellation_signal stop_output;
  Event output_ended;
};

namespace {

// What is one stream's end is not the other's.
Task<std::uint64_t> copy(int from, int to) {
  rpc::RelayOptions options;
  options.watch_sink = false;
  return rpc::relay(from, to, options);
}

Result<UniqueFd> receive_master(int listener) {
  const UniqueFd connection(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!connection) return fail_errno(errno, "the runtime has sent no terminal");
  auto received = TRY(sys::receive_fds(connection.get(), 4096, 1), "the terminal");
  if (received.fds.size() != 1) return fail(ErrorKind::internal, "the runtime sent no terminal");
  UniqueFd master = std::move(received.fds.front());
  if (::fcntl(master.get(), F_SETFL, O_NONBLOCK | O_RDWR) != 0) {
    return fail_errno(errno, "make the terminal non-blocking");
  }
  return master;
}

}  // namespace

Result<std::unique_ptr<Terminal>> Terminal::create(const asio::any_io_executor& executor,
                                                   const std::string& bundle) {
  auto state = std::make_shared<State>(
      executor, bundle, fmt::format("pty-{}.sock", hexadecimal(sys::random_bytes(8))));
  const auto directory = TRY(sys::open_at(AT_FDCWD, bundle, O_RDONLY | O_DIRECTORY), "the bundle");
  state->listener = TRY(sys::listen_unix_at(directory.get(), state->name, 0600));
  const int flags = ::fcntl(state->listener.get(), F_GETFL);
  (void)::fcntl(state->listener.get(), F_SETFL, flags | O_NONBLOCK);
  return std::unique_ptr<Terminal>(new Terminal(std::move(state)));
}

Terminal::~Terminal() {
  if (state_->listener) (void)::unlink(socket().c_str());
  state_->stop_input.emit(asio::cancellation_type::all);
  state_->stop_output.emit(asio::cancellation_type::all);
}

std::string Terminal::socket() const {
  return state_->bundle + "/" + state_->name;
}

Result<void> Terminal::attach(UniqueFd in, UniqueFd out) {
  auto master = receive_master(state_->listener.get());
  (void)::unlink(socket().c_str());
  state_->listener.reset();
  state_->input_master = TRY(std::move(master));
  state_->output_master.reset(::fcntl(state_->input_master.get(), F_DUPFD_CLOEXEC, 3));
  if (!state_->output_master) return fail_errno(errno, "duplicate the terminal");
  if (state_->size) TRY(runtime::set_window_size(state_->input_master.get(), *state_->size));
  state_->in = std::move(in);
  state_->out = std::move(out);
  const auto state = state_;
  if (state->in) {
    asio::co_spawn(
        state->executor, copy(state->in.get(), state->input_master.get()),
        asio::bind_cancellation_slot(state->stop_input.slot(),
                                     [state](const std::exception_ptr&,
                                             const Result<std::uint64_t>&) { state->in.reset(); }));
  }
  if (!state->out) state->out = TRY(sys::open_at(AT_FDCWD, "/dev/null", O_WRONLY));
  asio::co_spawn(state->executor, copy(state->output_master.get(), state->out.get()),
                 asio::bind_cancellation_slot(
                     state->stop_output.slot(),
                     [state](const std::exception_ptr&, const Result<std::uint64_t>&) {
                       state->out.reset();
                       state->output_ended.set();
                     }));
  return {};
}

Result<void> Terminal::resize(runtime::WindowSize size) {
  if (state_->input_master) return runtime::set_window_size(state_->input_master.get(), size);
  state_->size = size;
  return {};
}

asio::awaitable<void> Terminal::wait_end(std::chrono::milliseconds patience) {
  const auto state = state_;
  state->stop_input.emit(asio::cancellation_type::all);
  if (!state->output_master) co_return;
  if (!co_await state->output_ended.wait_for(patience)) {
    state->stop_output.emit(asio::cancellation_type::all);
    co_await state->output_ended.wait();
  }
}

}  // namespace agentvm::shim
