// What OpenSSL reads and writes: a socket, and before it bytes that were read from it already.
#pragma once

#include <string>

#include "egress/tls/byte_stream.h"
#include "egress/tls/openssl.h"

namespace agentvm::egress {

// Never blocks, raises no SIGPIPE. The socket is borrowed; once it is closed, reading and writing
// fail. nullptr: no memory.
[[nodiscard]] BioPtr make_socket_bio(Socket& socket, std::string first);

}  // namespace agentvm::egress
