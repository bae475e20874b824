// The host's own way out, where it has to take one: HTTPS_PROXY.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "egress/host.h"
#include "egress/secret.h"
#include "oci/base/error.h"

namespace agentvm::egress {

// Where the proxy alone can resolve names, the guest is given addresses of this network, which is
// kept for benchmarks (RFC 2544), each for one name.
[[nodiscard]] const Network& stand_ins();

struct UpstreamProxy {
  std::string host;  // a name or an address
  std::uint16_t port = 0;
  Secret authorization;  // of the header Proxy-Authorization; empty: none
};
// "http://user:password@host:port". invalid_argument never quotes the text.
[[nodiscard]] Result<UpstreamProxy> parse_upstream_proxy(std::string_view url);

}  // namespace agentvm::egress
