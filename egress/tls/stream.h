// TLS over a socket. OpenSSL reads and writes the socket itself, without the copies and the 70 KiB
// a connection that a pair of memory BIOs costs (Boost.Asio's ssl::stream): Asio only waits.
#pragma once

#include <string>
#include <string_view>

#include "egress/tls/byte_stream.h"
#include "egress/tls/openssl.h"

namespace agentvm::egress {

class TlsStream final : public ByteStream {
 public:
  // `ssl` is set to accept or to connect; `first`: what was read from the socket already, which it
  // borrows.
  [[nodiscard]] static Result<std::unique_ptr<TlsStream>> create(SslPtr ssl, Socket& socket,
                                                                 std::string first = {});

  // unavailable, with what the peer or its certificate did wrong.
  [[nodiscard]] Task<void> handshake();
  // As ALPN has chosen; empty: nothing.
  [[nodiscard]] std::string_view protocol() const;

  [[nodiscard]] Task<std::size_t> read_some(std::span<char> into) override;
  [[nodiscard]] Task<void> write(std::string_view bytes) override;
  [[nodiscard]] Task<bool> wait_input() override;
  void finish() override;
  void close() override;
  [[nodiscard]] bool is_quiet() override;

 private:
  TlsStream(SslPtr ssl, Socket& socket) : socket_(socket), ssl_(std::move(ssl)) {}
  // Waits for what OpenSSL wants after it returned `outcome`; an error where it wants nothing.
  // An orderly end is neither: false.
  [[nodiscard]] Task<bool> wait_after(int outcome, const char* doing);

  Socket& socket_;
  SslPtr ssl_;
};

}  // namespace agentvm::egress
