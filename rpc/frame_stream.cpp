#include "rpc/frame_stream.h"

#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "oci/base/try.h"

namespace agentvm::rpc {

namespace {

// A broken connection is nobody's mistake on this side, whatever its errno.
std::unexpected<Error> broken(Error error) {
  error.kind = ErrorKind::unavailable;
  return std::unexpected(std::move(error));
}

}  // namespace

FrameStream::FrameStream(const asio::any_io_executor& executor, StreamFd fd)
    : executor_(executor),
      fd_(std::move(fd)),
      drained_(executor, asio::steady_timer::time_point::max()) {}

Result<std::shared_ptr<FrameStream>> FrameStream::create(const asio::any_io_executor& executor,
                                                         UniqueFd fd) {
  auto stream = TRY(StreamFd::create(executor, std::move(fd)));
  return std::shared_ptr<FrameStream>(new FrameStream(executor, std::move(stream)));
}

// One read into the parser: nullopt when nothing is there, 0 at the end of the stream.
Result<std::optional<std::size_t>> FrameStream::fill() {
  std::array<char, 65536> chunk;
  const auto n = TRY(fd_.try_read(chunk));
  if (n) parser_.feed(std::string_view(chunk.data(), *n));
  return n;
}

Task<std::optional<Frame>> FrameStream::read() {
  while (is_open()) {
    auto frame = CO_TRY(parser_.next());
    if (frame) co_return frame;
    const auto n = fill();
    if (!n || (*n && **n == 0)) co_return end_of_stream(n);
    if (*n) continue;
    const auto waited = co_await fd_.wait_readable();
    if (!waited && is_open()) co_return broken(waited.error());
  }
  co_return std::nullopt;
}

// Why there will be no more frames, from the read that said so.
Result<std::optional<Frame>> FrameStream::end_of_stream(
    const Result<std::optional<std::size_t>>& last_read) const {
  if (write_error_) return broken(*write_error_);
  if (!last_read) return broken(last_read.error());
  if (parser_.at_boundary()) return std::nullopt;
  return fail(ErrorKind::unavailable, "the connection ended within a message");
}

void FrameStream::send(std::string frame) {
  if (!is_open()) return;
  if (writing_) {
    outbox_.append(frame);
    return;
  }
  // Most messages fit into the socket's buffer: no coroutine for those.
  std::string_view rest = frame;
  if (const auto n = fd_.try_write(rest); n && *n) rest.remove_prefix(**n);
  // An error comes again from write_out(), which tells it.
  if (rest.empty()) return;
  outbox_.append(rest);
  writing_ = true;
  spawn(executor_, write_out(shared_from_this()));
}

asio::awaitable<void> FrameStream::write_out(std::shared_ptr<FrameStream> self) {
  while (!self->outbox_.empty() && self->is_open()) {
    const std::string piece = std::exchange(self->outbox_, {});
    std::string_view rest = piece;
    while (!rest.empty() && self->is_open()) {
      self->writing_bytes_ = rest.size();
      const auto n = self->fd_.try_write(rest);
      if (!n) {
        // Answers that came before the break are still read; then read() ends with this error.
        self->write_error_ = n.error();
        self->outbox_.clear();
        rest = {};
        self->fd_.hang_up();
      } else if (*n) {
        rest.remove_prefix(**n);
      } else if (const auto waited = co_await self->fd_.wait_writable(); !waited) {
        self->close();
      }
    }
    self->writing_bytes_ = 0;
    self->drained_.cancel();
  }
  self->writing_ = false;
}

asio::awaitable<void> FrameStream::wait_unsent(std::size_t limit) {
  while (is_open() && unsent() > limit) co_await drained_.async_wait(use_result);
}

void FrameStream::close() {
  fd_.close();
  outbox_.clear();
  writing_bytes_ = 0;
  drained_.cancel();
}

}  // namespace agentvm::rpc
