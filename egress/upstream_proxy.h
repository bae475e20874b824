// The host's own way out, where it has to take one: HTTPS_PROXY.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "egress/secret.h"
#include "oci/base/error.h"

namespace agentvm::egress {

struct UpstreamProxy {
  std::string host;  // a name or an address
  std::uint16_t port = 0;
  Secret authorization;  // of the header Proxy-Authorization; empty: none
};
// "http://user:password@host:port". invalid_argument never quotes the text.
[[nodiscard]] Result<UpstreamProxy> parse_upstream_proxy(std::string_view url);

}  // namespace agentvm::egress
