// What a guest says first on a connection. It is looked at and left in the socket (MSG_PEEK), so
// that connections which say little by little cost no memory of ours.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "egress/client_hello.h"
#include "oci/base/async.h"

namespace agentvm::egress {

enum class Spoken : std::uint8_t {
  nothing,  // within the time given
  tls,      // a ClientHello, whole
  http,     // a request line begins
  other,
  unclear,  // it ended, or time was up, before that was certain
  broken,   // it began as TLS and is none
};

struct FirstBytes {
  Spoken spoken = Spoken::nothing;
  ClientHello hello;  // of tls
  std::string error;  // of unclear and broken: a sentence
};

// What `bytes` so far say; nothing while more is needed. Pure.
[[nodiscard]] std::optional<FirstBytes> classify(std::string_view bytes);
// How many bytes there have to be before classify() can say more.
[[nodiscard]] std::size_t wanted_after(std::string_view bytes);

struct Patience {
  std::chrono::milliseconds silent;  // until the first byte
  std::chrono::milliseconds whole;   // until it is clear
};
[[nodiscard]] asio::awaitable<FirstBytes> read_first_bytes(
    std::shared_ptr<asio::ip::tcp::socket> socket, Patience patience);

// Waits until `wanted` bytes have come, or as many as will, and shows them; they stay in the
// socket. At most kMaxPeek.
inline constexpr std::size_t kMaxPeek = 65'536;
[[nodiscard]] Task<std::string_view> peek(asio::ip::tcp::socket& socket, std::size_t wanted);

}  // namespace agentvm::egress
