// What follows an answer 101: bytes both ways.
#pragma once

#include <cstdint>

#include "egress/http/stream_reader.h"

namespace agentvm::egress::http {

struct TunnelEnd {
  StreamReader& reader;
  ByteStream& stream;
  std::uint64_t& bytes;  // grows with what comes from this end
};

// Until both directions have ended, each by itself, or either was cut.
[[nodiscard]] asio::awaitable<void> tunnel(TunnelEnd guest, TunnelEnd upstream);

}  // namespace agentvm::egress::http
