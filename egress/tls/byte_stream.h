// A connection as bytes both ways, in the clear or through TLS. One reader and one writer at a
// time, which may be two coroutines.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <span>
#include <string_view>

#include "oci/base/async.h"

namespace agentvm::egress {

using Socket = asio::ip::tcp::socket;

class ByteStream {
 public:
  ByteStream() = default;
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;
  virtual ~ByteStream() = default;

  // At least one byte; none at the orderly end. A stream that was cut is an error.
  [[nodiscard]] virtual Task<std::size_t> read_some(std::span<char> into) = 0;
  // All of `bytes`, which stay until it has ended.
  [[nodiscard]] virtual Task<void> write(std::string_view bytes) = 0;
  // Ends when there is something to read (true), or the stream has ended or was cut (false).
  [[nodiscard]] virtual Task<bool> wait_input() = 0;
  // Says that nothing more is written; reading goes on.
  virtual void finish() = 0;
  // Ends both directions and whatever waits for them, with an error there.
  virtual void close() = 0;
  // Whether the peer has neither sent anything nor closed. Not while somebody reads.
  [[nodiscard]] virtual bool is_quiet() = 0;
};

// Neither delays small writes nor keeps a peer that is gone.
void prepare(Socket& socket);

// In the clear, over a socket that it borrows.
class PlainStream final : public ByteStream {
 public:
  explicit PlainStream(Socket& socket) : socket_(socket) { prepare(socket); }
  [[nodiscard]] Task<std::size_t> read_some(std::span<char> into) override;
  [[nodiscard]] Task<void> write(std::string_view bytes) override;
  [[nodiscard]] Task<bool> wait_input() override;
  void finish() override;
  void close() override;
  [[nodiscard]] bool is_quiet() override;

 private:
  Socket& socket_;
};

}  // namespace agentvm::egress
