#include "egress/gateway/first_bytes.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "egress/byte_reader.h"
#include "egress/gateway/deadline.h"

namespace agentvm::egress {

namespace {

using asio::ip::tcp;

constexpr char kHandshakeRecord = 22;
constexpr std::size_t kRecordHeader = 5;
constexpr std::size_t kMaxMethod = 24;
// A ClientHello comes in one or two pieces; each look at it costs as much as there is.
constexpr int kMaxPieces = 64;

bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}

FirstBytes unclear(std::string error) {
  return {.spoken = Spoken::unclear, .hello = {}, .error = std::move(error)};
}

std::optional<FirstBytes> classify_tls(std::string_view bytes) {
  auto hello = parse_client_hello(bytes);
  if (!hello) return FirstBytes{Spoken::broken, {}, hello.error().text()};
  if (!*hello) return std::nullopt;
  return FirstBytes{Spoken::tls, std::move(**hello), {}};
}

}  // namespace

std::optional<FirstBytes> classify(std::string_view bytes) {
  if (bytes.empty()) return std::nullopt;
  if (bytes[0] == kHandshakeRecord) return classify_tls(bytes);
  const std::size_t word =
      static_cast<std::size_t>(std::ranges::find_if_not(bytes, is_upper) - bytes.begin());
  if (word == bytes.size() && word < kMaxMethod) return std::nullopt;
  const bool request = word > 0 && word < kMaxMethod && bytes[word] == ' ';
  return FirstBytes{request ? Spoken::http : Spoken::other, {}, {}};
}

std::size_t wanted_after(std::string_view bytes) {
  if (bytes.empty() || bytes[0] != kHandshakeRecord) return bytes.size() + 1;
  std::size_t at = 0;
  while (at + kRecordHeader <= bytes.size()) {
    ByteReader header(bytes.substr(at + 3));
    at += kRecordHeader + header.number(2);
  }
  return at > bytes.size() ? at : std::max(at + kRecordHeader, bytes.size() + 1);
}

Task<std::string_view> peek(tcp::socket& socket, std::size_t wanted) {
  // One for all: nobody waits between the look and what is made of it.
  static std::array<char, kMaxPeek> bytes;
  const int fd = socket.native_handle();
  const auto least = static_cast<int>(std::min(wanted, kMaxPeek));
  if (::setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &least, sizeof(least)) != 0) {
    co_return fail_errno(errno, "wait for more");
  }
  auto [code] = co_await socket.async_wait(tcp::socket::wait_read, use_result);
  if (code) co_return fail_asio(code, "read");
  const ssize_t size = ::recv(fd, bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
  if (size < 0 && errno != EAGAIN) co_return fail_errno(errno, "read");
  const int one = 1;
  (void)::setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
  const std::string_view seen(bytes.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  co_return seen;
}

asio::awaitable<FirstBytes> read_first_bytes(std::shared_ptr<tcp::socket> socket,
                                             Patience patience) {
  {
    const Deadline first(socket, patience.silent);
    const auto bytes = co_await peek(*socket, 1);
    if (!bytes && first.passed()) co_return FirstBytes{};
    if (!bytes) co_return unclear(bytes.error().text());
    if (bytes->empty()) co_return unclear("the client has ended without a word");
    if (auto known = classify(*bytes)) co_return *known;
  }
  const Deadline whole(socket, patience.whole);
  std::size_t had = 0;
  std::size_t wanted = 1;
  for (int piece = 0; piece < kMaxPieces; ++piece) {
    const auto bytes = co_await peek(*socket, wanted);
    if (!bytes && whole.passed()) co_return unclear("the client is too slow to say what it wants");
    if (!bytes) co_return unclear(bytes.error().text());
    if (bytes->size() <= had)
      co_return unclear("the client has ended before it said what it wants");
    if (auto known = classify(*bytes)) co_return *known;
    had = bytes->size();
    wanted = wanted_after(*bytes);
  }
  co_return unclear("the client says what it wants in too many pieces");
}

}  // namespace agentvm::egress
