#include "guest-agent/process_io.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <cerrno>
#include <utility>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "rpc/stream_relay.h"

namespace agentvm::guest {

namespace {

// Room for a burst while the host is slow; the default of 64 KiB stalls writers under emulation.
constexpr int kPipeBytes = 1024 << 10;

Result<UniqueFd> open_null() {
  return sys::open_at(AT_FDCWD, "/dev/null", O_RDWR);
}

Result<UniqueFd> duplicate(const UniqueFd& fd) {
  UniqueFd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) return fail_errno(errno, "duplicate a file descriptor");
  return copy;
}

Result<void> set_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
    return fail_errno(errno, "make a file descriptor non-blocking");
  }
  return {};
}

}  // namespace

ProcessIo::ProcessIo(const asio::any_io_executor& executor)
    : executor_(executor), outputs_done_(executor) {}

Result<std::shared_ptr<ProcessIo>> ProcessIo::create(const asio::any_io_executor& executor,
                                                     StreamTable& streams, const StreamIds& ids,
                                                     bool terminal) {
  std::shared_ptr<ProcessIo> io(new ProcessIo(executor));
  if (terminal) {
    TRY(io->connect_terminal(streams, ids));
    return io;
  }
  if (ids.terminal != 0) {
    return fail(ErrorKind::invalid_argument, "a terminal stream for a process without a terminal");
  }
  TRY(io->connect_input(streams, ids.in), "stdin");
  TRY(io->connect_output(streams, ids.out, io->child_.out, io->out_), "stdout");
  TRY(io->connect_output(streams, ids.err, io->child_.err, io->err_), "stderr");
  return io;
}

Result<void> ProcessIo::connect_terminal(StreamTable& streams, const StreamIds& ids) {
  if (ids.in != 0 || ids.out != 0 || ids.err != 0) {
    return fail(ErrorKind::invalid_argument, "a process with a terminal has only that stream");
  }
  if (ids.terminal == 0) {
    return fail(ErrorKind::invalid_argument, "a process with a terminal needs its stream");
  }
  child_.terminal = true;
  terminal_stream_ = TRY(streams.claim(ids.terminal), "terminal");
  return {};
}

Result<void> ProcessIo::connect_input(StreamTable& streams, std::uint64_t id) {
  if (id == 0) {
    child_.in = TRY(open_null());
    return {};
  }
  input_stream_ = TRY(streams.claim(id));
  auto [read_end, write_end] = TRY(sys::pipe());
  TRY(set_nonblocking(write_end.get()));
  child_.in = std::move(read_end);
  input_ = std::move(write_end);
  return {};
}

Result<void> ProcessIo::connect_output(StreamTable& streams, std::uint64_t id, UniqueFd& child_end,
                                       std::unique_ptr<OutputPump>& pump) {
  if (id == 0) {
    child_end = TRY(open_null());
    return {};
  }
  auto stream = TRY(streams.claim(id));
  auto [read_end, write_end] = TRY(sys::pipe());
  TRY(set_nonblocking(read_end.get()));
  ::fcntl(read_end.get(), F_SETPIPE_SZ, kPipeBytes);
  child_end = std::move(write_end);
  pump = std::make_unique<OutputPump>(executor_, std::move(read_end), std::move(stream));
  return {};
}

ChildStdio ProcessIo::take_child_side() {
  return std::exchange(child_, ChildStdio{});
}

Result<void> ProcessIo::set_terminal(UniqueFd master, const std::optional<oci::ConsoleSize>& size) {
  master_ = std::move(master);
  TRY(set_nonblocking(master_.get()));
  if (size && (size->height != 0 || size->width != 0)) TRY(resize(size->height, size->width));
  auto source = TRY(duplicate(master_));
  auto sink = TRY(duplicate(terminal_stream_));
  out_ = std::make_unique<OutputPump>(executor_, std::move(source), std::move(sink));
  input_ = TRY(duplicate(master_));
  input_stream_ = std::move(terminal_stream_);
  return {};
}

void ProcessIo::start() {
  for (OutputPump* pump : {out_.get(), err_.get()}) {
    if (pump == nullptr) continue;
    ++copying_;
    asio::co_spawn(
        executor_,
        [self = shared_from_this(), pump]() -> asio::awaitable<void> {
          return self->run_output(*pump);
        },
        [self = shared_from_this()](const std::exception_ptr&) {});
  }
  if (copying_ == 0) outputs_done_.set();
  if (!input_stream_) return;
  asio::co_spawn(
      executor_,
      [self = shared_from_this()]() -> asio::awaitable<void> { return self->run_input(); },
      asio::bind_cancellation_slot(stop_input_.slot(),
                                   [self = shared_from_this()](const std::exception_ptr&) {}));
}

asio::awaitable<void> ProcessIo::run_output(OutputPump& pump) {
  co_await pump.run();
  if (--copying_ == 0) outputs_done_.set();
}

asio::awaitable<void> ProcessIo::run_input() {
  rpc::RelayOptions options;
  options.half_close = false;
  // However it ends: the process sees the end of its stdin, the host that nobody reads on.
  (void)co_await rpc::relay(input_stream_.get(), input_.get(), options);
  input_.reset();
  if (!master_) ::shutdown(input_stream_.get(), SHUT_RDWR);
  input_stream_.reset();
}

void ProcessIo::stop_input() {
  stop_input_.emit(asio::cancellation_type::terminal);
}

asio::awaitable<void> ProcessIo::finish() {
  const auto self = shared_from_this();
  if (out_) out_->finish();
  if (err_) err_->finish();
  co_await outputs_done_.wait();
  // A terminal's stream ends both ways; the process reads no more.
  stop_input();
  master_.reset();
}

void ProcessIo::abort() {
  if (out_) out_->abort();
  if (err_) err_->abort();
  stop_input();
  // Never started: nobody else would end them.
  if (copying_ == 0) outputs_done_.set();
  child_ = {};
  terminal_stream_.reset();
}

Result<void> ProcessIo::resize(std::uint16_t rows, std::uint16_t columns) {
  if (!master_) return fail(ErrorKind::failed_precondition, "the process has no terminal");
  winsize size{};
  size.ws_row = rows;
  size.ws_col = columns;
  if (::ioctl(master_.get(), TIOCSWINSZ, &size) != 0) {
    return fail_errno(errno, "set the terminal's size");
  }
  return {};
}

}  // namespace agentvm::guest
