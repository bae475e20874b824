// HTTP of a guest, request by request: in the clear, and out of TLS that is opened. Each request is
// decided by the policy, gets its credentials (over TLS alone) and is recorded.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "egress/host.h"
#include "egress/settings.h"
#include "egress/tls/byte_stream.h"
#include "oci/base/async.h"

namespace agentvm::egress {

class TlsOpener;  // egress/tls/opener.h

namespace http {

// Whom the guest's connection was for.
struct Destination {
  std::string name;  // as parse_host_name() gives it; empty: the address alone is known
  Address address;
  std::uint16_t port = 0;
  friend bool operator==(const Destination&, const Destination&) = default;
};

// One request that was decided, when it has ended. It holds no secret and no query.
struct RequestRecord {
  Destination destination;
  std::string method;
  std::string path;
  bool allowed = false;
  std::string rule;                      // its text; empty: none decided
  std::string layer;                     // of that rule
  std::string reason;                    // a sentence
  std::uint64_t bytes_in = 0;            // to the guest, heads included
  std::uint64_t bytes_out = 0;           // from the guest
  std::vector<std::string> credentials;  // names of those that were put in
};

// What a connection needs of the gateway. It outlives the connections that it serves.
class Surroundings {
 public:
  Surroundings() = default;
  Surroundings(const Surroundings&) = delete;
  Surroundings& operator=(const Surroundings&) = delete;
  virtual ~Surroundings() = default;

  // Those of now. Each request keeps the ones with which it began.
  [[nodiscard]] virtual std::shared_ptr<const Settings> settings() = 0;
  // Whether an answer of DNS to this guest gave the address for that name, and still holds.
  [[nodiscard]] virtual bool is_pinned(std::string_view name, const Address& address) = 0;
  // A connection to there, through the host's proxy if there is one. The name may be empty. The
  // error's text is shown to the guest.
  [[nodiscard]] virtual Task<Socket> connect(const Destination& destination) = 0;
  virtual void record(const RequestRecord& record) = 0;
};

// Both serve until the connection has ended, and leave `guest` closed. The caller keeps the socket
// and may close() it meanwhile: then all of it ends at once. `first` is what was read already; it
// may be empty.

// A connection whose first bytes are HTTP. The requests' Host says the name: it has to be pinned to
// the destination's address; the connection need not be decided yet.
[[nodiscard]] asio::awaitable<void> serve_plain(Socket& guest, std::string first,
                                                Destination destination,
                                                Surroundings& surroundings);
// A connection that is to be opened: it begins with a ClientHello whose name is the destination's
// and pinned, or it has none and the destination neither. `offered`: the protocols of its ALPN.
[[nodiscard]] asio::awaitable<void> serve_tls(Socket& guest, std::string first,
                                              Destination destination,
                                              std::vector<std::string> offered,
                                              Surroundings& surroundings, TlsOpener& opener);

}  // namespace http
}  // namespace agentvm::egress
