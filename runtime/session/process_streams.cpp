#include "runtime/session/process_streams.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <cerrno>
#include <cstring>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "rpc/guest_connect.h"
#include "rpc/stream_relay.h"

namespace agentvm::runtime {

namespace {

// Reading /dev/null in the guest is the same and costs no connection.
bool is_dev_null(int fd) {
  struct stat status{};
  return ::fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
}

Result<UniqueFd> duplicate_unless_null(int fd) {
  if (::fcntl(fd, F_GETFD) < 0 || is_dev_null(fd)) return UniqueFd();
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) return fail_errno(errno, fmt::format("duplicate file descriptor {}", fd));
  return copy;
}

}  // namespace

std::uint64_t make_stream_id() {
  std::uint64_t id = 0;
  while (id == 0) {
    const std::string bytes = sys::random_bytes(sizeof id);
    std::memcpy(&id, bytes.data(), sizeof id);
  }
  return id;
}

Result<HostStdio> inherit_stdio() {
  HostStdio stdio;
  stdio.in = TRY(duplicate_unless_null(STDIN_FILENO));
  stdio.out = TRY(duplicate_unless_null(STDOUT_FILENO));
  stdio.err = TRY(duplicate_unless_null(STDERR_FILENO));
  return stdio;
}

Result<UniqueFd> inherit_terminal() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::isatty(fd) != 0) return duplicate_unless_null(fd);
  }
  return fail(ErrorKind::failed_precondition,
              "a terminal is asked for, but none of standard input, output and error is one");
}

struct ProcessStreams::State {
  explicit State(const asio::any_io_executor& on) : executor(on), output_ended(on) {}

  asio::any_io_executor executor;
  HostStdio host;
  // The guest's ends, as vsock connections; absent like the host's.
  UniqueFd in;
  UniqueFd out;
  UniqueFd err;
  UniqueFd terminal;
  agent::v1::Stdio ids;
  int outputs = 0;
  Event output_ended;
  asio::cancellation_signal stop_input;
};

namespace {

// Streams that are being opened, all at once: each takes two round trips to the guest.
class Openings {
 public:
  Openings(const asio::any_io_executor& executor, const GuestLink& link)
      : executor_(executor), link_(link), done_(std::make_shared<Event>(executor)) {}

  // Returns the id of the stream that `into`, which outlives all(), will be.
  std::uint64_t begin(UniqueFd& into, const char* what) {
    const std::uint64_t id = make_stream_id();
    ++left_;
    spawn<UniqueFd>(
        executor_, open_stream(link_, id), [this, &into, what](Result<UniqueFd> opened) {
          if (opened) {
            into = *std::move(opened);
          } else if (outcome_) {
            outcome_ = std::unexpected(
                std::move(opened).error().wrap(std::string("open the stream of ") + what));
          }
          if (--left_ == 0) done_->set();
        });
    return id;
  }
  // Ends when all have been opened or have failed, which each does within the link's time-out.
  Task<void> all() {
    if (left_ != 0) co_await done_->wait();
    co_return outcome_;
  }

 private:
  static Task<UniqueFd> open_stream(GuestLink link, std::uint64_t id) {
    const auto directory = CO_TRY(open_vsock_directory(link.state_dir));
    co_return co_await rpc::open_guest_stream(directory.get(), kVsockSocket, id, link.timeout);
  }

  asio::any_io_executor executor_;
  GuestLink link_;
  int left_ = 0;
  Result<void> outcome_;
  std::shared_ptr<Event> done_;
};

}  // namespace

Task<std::unique_ptr<ProcessStreams>> ProcessStreams::open(const GuestLink& link, HostStdio host) {
  auto state = std::make_shared<State>(co_await asio::this_coro::executor);
  state->host = std::move(host);
  Openings openings(state->executor, link);
  if (state->host.terminal) {
    state->ids.set_terminal_stream(openings.begin(state->terminal, "the terminal"));
  } else {
    if (state->host.in) {
      state->ids.set_stdin_stream(openings.begin(state->in, "standard input"));
    }
    if (state->host.out) {
      state->ids.set_stdout_stream(openings.begin(state->out, "standard output"));
    }
    if (state->host.err) {
      state->ids.set_stderr_stream(openings.begin(state->err, "standard error"));
    }
  }
  auto opened = co_await openings.all();
  CO_TRY(std::move(opened));
  co_return std::unique_ptr<ProcessStreams>(new ProcessStreams(std::move(state)));
}

ProcessStreams::~ProcessStreams() {
  state_->stop_input.emit(asio::cancellation_type::all);
}

const agent::v1::Stdio& ProcessStreams::ids() const {
  return state_->ids;
}

int ProcessStreams::terminal() const {
  return state_->host.terminal.get();
}

void ProcessStreams::start() {
  auto state = state_;
  // Each relay keeps the state alive: it may outlive this object for as long as a cancelled
  // operation needs to unwind.
  const auto copy_output = [state](UniqueFd& from, UniqueFd& to) {
    ++state->outputs;
    asio::co_spawn(
        state->executor,
        [](std::shared_ptr<ProcessStreams::State> held, UniqueFd& source,
           UniqueFd& sink) -> asio::awaitable<void> {
          // An error means that a side went away: the stream is over either way, and closing the
          // connection tells the guest.
          // Named: g++ 12 destroys a braced argument of a coroutine twice.
          rpc::RelayOptions options;
          (void)co_await rpc::relay(source.get(), sink.get(), std::move(options));
          // Not close(2): the input relay of a terminal uses the same descriptor.
          (void)::shutdown(source.get(), SHUT_RDWR);
          if (&sink != &held->host.terminal) sink.reset();
          if (--held->outputs == 0) held->output_ended.set();
        }(state, from, to),
        asio::detached);
  };
  const auto copy_input = [state](UniqueFd& from, UniqueFd& to) {
    asio::co_spawn(
        state->executor,
        [](std::shared_ptr<ProcessStreams::State> held, int source,
           int sink) -> asio::awaitable<void> {
          rpc::RelayOptions options;
          (void)co_await rpc::relay(source, sink, std::move(options));
          (void)held;
        }(state, from.get(), to.get()),
        // The signal must outlive the coroutine that it cancels.
        asio::bind_cancellation_slot(state->stop_input.slot(),
                                     [state](const std::exception_ptr&) {}));
  };
  if (state->terminal) {
    copy_input(state->host.terminal, state->terminal);
    copy_output(state->terminal, state->host.terminal);
    return;
  }
  if (state->in) copy_input(state->host.in, state->in);
  if (state->out) copy_output(state->out, state->host.out);
  if (state->err) copy_output(state->err, state->host.err);
  if (state->outputs == 0) state->output_ended.set();
}

asio::awaitable<void> ProcessStreams::wait_output_end() {
  co_await state_->output_ended.wait();
}

}  // namespace agentvm::runtime
