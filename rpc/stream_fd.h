// A stream file descriptor of our own (a connected socket, a serial port), non-blocking, on the
// event loop. Bytes move by the system calls themselves; Asio only says when to try again.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"

namespace agentvm::rpc {

class StreamFd {
 public:
  // Sets O_NONBLOCK.
  [[nodiscard]] static Result<StreamFd> create(const asio::any_io_executor& executor, UniqueFd fd);

  // nullopt: it would block. 0 of a read: the end.
  [[nodiscard]] Result<std::optional<std::size_t>> try_read(std::span<char> into, int flags = 0);
  [[nodiscard]] Result<std::optional<std::size_t>> try_write(std::string_view bytes);
  // ECANCELED after cancel() or close().
  [[nodiscard]] Task<void> wait_readable();
  [[nodiscard]] Task<void> wait_writable();

  void cancel();
  // Ends both directions of a socket; what has come already can still be read from a unix socket.
  // What is no socket is closed.
  void hang_up();
  void close();
  [[nodiscard]] bool is_open() const { return descriptor_.is_open(); }
  // Gives the fd away, O_NONBLOCK still set.
  [[nodiscard]] UniqueFd release();

 private:
  StreamFd(asio::posix::stream_descriptor descriptor, bool socket)
      : descriptor_(std::move(descriptor)), socket_(socket) {}

  asio::posix::stream_descriptor descriptor_;
  bool socket_;  // recv(2) and send(2) have flags, and no SIGPIPE
};

// Runs `work` on its own; what it throws (out of memory) ends it silently.
void spawn(const asio::any_io_executor& executor, asio::awaitable<void> work);

}  // namespace agentvm::rpc
