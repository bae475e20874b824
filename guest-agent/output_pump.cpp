#include "guest-agent/output_pump.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace agentvm::guest {

namespace {

// Four of the largest packets that virtio-vsock makes: the fewer turns, the more bytes a second.
constexpr std::size_t kChunk = std::size_t{256} << 10;
// A pty holds less; a pipe tells its size.
constexpr std::size_t kTerminalRest = std::size_t{64} << 10;

}  // namespace

OutputPump::OutputPump(const asio::any_io_executor& executor, UniqueFd source, UniqueFd sink)
    : source_(executor, source.release()), sink_(executor, sink.release()) {}

asio::awaitable<void> OutputPump::run() {
  co_await copy();
  ::shutdown(sink_.native_handle(), SHUT_WR);
  boost::system::error_code ignored;
  source_.close(ignored);
  sink_.close(ignored);
}

// Without a switch: g++ 12 loses `this` in one that awaits.
asio::awaitable<void> OutputPump::copy() {
  while (!aborted_) {
    const Input input = read_some();
    if (input == Input::end) co_return;
    if (input == Input::later) {
      if (finishing_) co_return;
      co_await source_.async_wait(asio::posix::descriptor_base::wait_read, use_result);
      continue;
    }
    const bool sent = co_await send_all();
    if (!sent) co_return;
    if (!finishing_) continue;
    rest_ -= std::min(rest_, filled_);
    if (rest_ == 0) co_return;
  }
}

OutputPump::Input OutputPump::read_some() {
  // Not zeroed, and not before there is something: most outputs are short.
  if (!buffer_) buffer_ = std::make_unique_for_overwrite<std::byte[]>(kChunk);
  for (;;) {
    const ssize_t n = ::read(source_.native_handle(), buffer_.get(), kChunk);
    if (n > 0) {
      filled_ = static_cast<std::size_t>(n);
      return Input::bytes;
    }
    if (n < 0 && errno == EINTR) continue;
    // EIO is how a pty's master says that the last slave is closed.
    return n < 0 && errno == EAGAIN ? Input::later : Input::end;
  }
}

// False when the sink is gone.
asio::awaitable<bool> OutputPump::send_all() {
  for (std::size_t at = 0; at < filled_;) {
    if (aborted_) co_return false;
    const ssize_t n = ::send(sink_.native_handle(), buffer_.get() + at, filled_ - at,
                             MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) {
      at += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN) {
      co_await sink_.async_wait(asio::posix::descriptor_base::wait_write, use_result);
    } else if (errno != EINTR) {
      co_return false;
    }
  }
  co_return true;
}

void OutputPump::finish() {
  if (finishing_ || !source_.is_open()) return;
  finishing_ = true;
  const int capacity = ::fcntl(source_.native_handle(), F_GETPIPE_SZ);
  // What was read before this point is on its way already: only what comes now is counted.
  rest_ = filled_ + (capacity > 0 ? static_cast<std::size_t>(capacity) : kTerminalRest);
  source_.cancel();
}

void OutputPump::abort() {
  aborted_ = true;
  boost::system::error_code ignored;
  if (source_.is_open()) source_.cancel(ignored);
  if (sink_.is_open()) sink_.cancel(ignored);
}

}  // namespace agentvm::guest
