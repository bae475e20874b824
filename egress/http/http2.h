// A guest's connection that speaks HTTP/2, and the upstream's that does too: stream by stream, each
// request decided.
#pragma once

#include "egress/http/served_connection.h"

namespace agentvm::egress::http {

// Until the connection has ended. Without an upstream every request is told why there is none.
[[nodiscard]] asio::awaitable<void> serve_http2(ServedConnection connection);

}  // namespace agentvm::egress::http
