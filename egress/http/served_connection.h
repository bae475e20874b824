// A guest's connection whose requests are decided, whatever version of HTTP it speaks.
#pragma once

#include <optional>
#include <string>

#include "egress/http/exchange.h"
#include "egress/http/upstream.h"

namespace agentvm::egress::http {

struct ServedConnection {
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

}  // namespace agentvm::egress::http
