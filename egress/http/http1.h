// A guest's connection that speaks HTTP/1.1 (RFC 9112): one request after the other, each decided.
#pragma once

#include "egress/http/served_connection.h"

namespace agentvm::egress::http {

// Until the connection has ended.
[[nodiscard]] asio::awaitable<void> serve_http1(ServedConnection connection);

}  // namespace agentvm::egress::http
