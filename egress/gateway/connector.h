// Connections to where guests may go: to the address that they were told, or through the host's own
// proxy.
#pragma once

#include "egress/gateway/endpoints.h"
#include "egress/gateway/resolver.h"
#include "egress/upstream_proxy.h"

namespace agentvm::egress {

// Straight to `there`.
[[nodiscard]] Task<asio::ip::tcp::socket> connect_to(AddressPort there);

// Through `proxy` (CONNECT, RFC 9110, 9.3.6), by the name where there is one: many proxies refuse
// addresses. `proxy` has to live as long.
[[nodiscard]] Task<asio::ip::tcp::socket> connect_through(const UpstreamProxy& proxy,
                                                          Resolver& resolver, std::string name,
                                                          AddressPort there);

}  // namespace agentvm::egress
