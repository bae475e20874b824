// The first message of a TLS client (RFC 8446, 4.1.2), as far as a policy needs it. It comes from
// the guest.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"

namespace agentvm::egress {

// More than any client sends, post-quantum key shares included.
inline constexpr std::size_t kMaxClientHello = 32768;

struct ClientHello {
  std::string server_name;        // as parse_host_name() gives it; empty: none was sent
  std::vector<std::string> alpn;  // "h2", "http/1.1", …
  bool encrypted_name = false;    // ECH or ESNI: the name above need not be the one that is meant
  friend bool operator==(const ClientHello&, const ClientHello&) = default;
};

// What `bytes`, the beginning of a connection, says; nothing while more is needed. The message may
// be cut into records anywhere. invalid_argument: no TLS, malformed, or more than kMaxClientHello.
[[nodiscard]] Result<std::optional<ClientHello>> parse_client_hello(std::string_view bytes);

}  // namespace agentvm::egress
