// The connection to where a guest's requests go.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "egress/http/exchange.h"
#include "egress/http/stream_reader.h"
#include "egress/tls/opener.h"

namespace agentvm::egress::http {

struct Upstream {
  explicit Upstream(Socket connected) : socket(std::move(connected)) {}

  Socket socket;
  std::unique_ptr<ByteStream> stream;
  std::unique_ptr<StreamReader> reader;
  std::string protocol;  // as ALPN chose it; empty: nothing, so HTTP/1.1
  bool used = false;     // a request was sent
};

using UpstreamPtr = std::unique_ptr<Upstream>;
// Errors are shown to the guest.
using Connect = std::function<Task<UpstreamPtr>(const Destination&)>;

// `surroundings` and `opener` outlive what is made. `protocols` are offered by ALPN.
[[nodiscard]] Connect connect_plain(Surroundings& surroundings);
[[nodiscard]] Connect connect_tls(Surroundings& surroundings, TlsOpener& opener,
                                  std::vector<std::string> protocols);

// The name that a TLS peer has to show: the host's, or its address.
[[nodiscard]] std::string host_of(const Destination& destination);

}  // namespace agentvm::egress::http
