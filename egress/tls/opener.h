// Opens TLS connections: towards the guest with certificates of the sandbox's own authority,
// towards the upstream as a client that verifies.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "egress/tls/authority.h"
#include "egress/tls/stream.h"

namespace agentvm::egress {

// For one sandbox; used from one thread. It reads no file. TLS 1.2 and later on both sides.
class TlsOpener {
 public:
  // `trusted`: PEM certificates of those that vouch for upstreams, as many as there are; with none
  // of them no upstream is believed. invalid_argument for what is no authority, or no PEM.
  [[nodiscard]] static Result<std::unique_ptr<TlsOpener>> create(std::string_view ca_certificate,
                                                                 std::string_view ca_key,
                                                                 std::string_view trusted);
  TlsOpener(const TlsOpener&) = delete;
  TlsOpener& operator=(const TlsOpener&) = delete;

  // Towards the guest, as `host` (a name, or an address as text). `first`: bytes read already.
  // `protocol`: the one that ALPN answers when it is offered; empty: none. Not yet shaken hands.
  [[nodiscard]] Result<std::unique_ptr<TlsStream>> accept(Socket& socket, std::string first,
                                                          const std::string& host,
                                                          const std::string& protocol);
  // Towards the upstream, whose certificate has to be `host`'s. Resumes an earlier session with the
  // same host where there is one. `protocols`: offered by ALPN.
  [[nodiscard]] Result<std::unique_ptr<TlsStream>> connect(
      Socket& socket, const std::string& host, const std::vector<std::string>& protocols);

 private:
  static constexpr std::size_t kMaxSessions = 128;

  explicit TlsOpener(Authority authority) : authority_(std::move(authority)) {}
  [[nodiscard]] Result<void> prepare_server();
  [[nodiscard]] Result<void> prepare_client(std::string_view trusted);
  static int keep_session(SSL* ssl, SSL_SESSION* session);

  Authority authority_;
  SslContextPtr server_;
  SslContextPtr client_;
  std::map<std::string, SslSessionPtr, std::less<>> sessions_;  // by host, of upstreams
};

}  // namespace agentvm::egress
