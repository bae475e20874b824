// A stream on which ttrpc frames travel both ways; what client and server share.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"
#include "rpc/frame.h"
#include "rpc/stream_fd.h"

namespace agentvm::rpc {

class FrameStream : public std::enable_shared_from_this<FrameStream> {
 public:
  [[nodiscard]] static Result<std::shared_ptr<FrameStream>> create(
      const asio::any_io_executor& executor, UniqueFd fd);

  // The next frame; nullopt when the peer ended the stream between two frames or close() was
  // called. invalid_argument on what is no frame, unavailable when the stream broke, reading or
  // writing. One reader at a time; it must keep this object alive.
  [[nodiscard]] Task<std::optional<Frame>> read();

  // Queues bytes of encode_frame() and writes what the peer takes. A failure is read()'s to tell.
  void send(std::string frame);
  [[nodiscard]] std::size_t unsent() const { return outbox_.size() + writing_bytes_; }
  // Until unsent() is at most `limit`, or the stream has ended.
  [[nodiscard]] asio::awaitable<void> wait_unsent(std::size_t limit);

  // Wakes read() and wait_unsent(). What was not sent is dropped.
  void close();
  [[nodiscard]] bool is_open() const { return fd_.is_open(); }

 private:
  FrameStream(const asio::any_io_executor& executor, StreamFd fd);
  Result<std::optional<std::size_t>> fill();
  [[nodiscard]] Result<std::optional<Frame>> end_of_stream(
      const Result<std::optional<std::size_t>>& last_read) const;
  [[nodiscard]] static asio::awaitable<void> write_out(std::shared_ptr<FrameStream> self);

  asio::any_io_executor executor_;
  StreamFd fd_;
  FrameParser parser_;
  std::string outbox_;
  std::size_t writing_bytes_ = 0;  // of the piece that write_out() holds
  bool writing_ = false;
  std::optional<Error> write_error_;
  asio::steady_timer drained_;  // never expires: cancelling it wakes wait_unsent()
};

}  // namespace agentvm::rpc
