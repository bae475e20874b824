// A guest's connection that speaks HTTP/1.1 (RFC 9112): one request after the other, each decided.
#pragma once

#include <memory>
#include <string>

#include "egress/http/exchange.h"
#include "egress/http/stream_reader.h"
#include "egress/http/upstream.h"

namespace agentvm::egress::http {

struct Http1Connection {
  ByteStream& guest;
  std::string first;  // read from the guest already
  Destination destination;
  bool over_tls = false;
  Surroundings& surroundings;
  Connect connect;
  UpstreamPtr upstream;  // connected already, or nothing
  // Why there is no upstream, when it was tried: what the first requests are answered with.
  std::optional<Error> unreachable;
};

// Until the connection has ended.
[[nodiscard]] asio::awaitable<void> serve_http1(Http1Connection connection);

}  // namespace agentvm::egress::http
