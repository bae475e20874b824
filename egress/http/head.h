// Heads of HTTP/1.1 messages (RFC 9112), read so that no server can read them differently: what
// is ambiguous is refused, not mended. They come from the guest and from servers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "egress/http/fields.h"
#include "oci/base/error.h"

namespace agentvm::egress::http {

inline constexpr std::size_t kMaxHead = std::size_t{64} << 10;
inline constexpr std::size_t kMaxFields = 256;
inline constexpr std::size_t kMaxMethod = 32;
inline constexpr std::size_t kMaxTarget = std::size_t{16} << 10;

struct RequestHead {
  std::string method;
  std::string target;
  unsigned minor = 1;  // of HTTP/1.x
  Fields fields;
  friend bool operator==(const RequestHead&, const RequestHead&) = default;
};

struct ResponseHead {
  unsigned status = 0;  // 100 to 999
  std::string reason;
  unsigned minor = 1;
  Fields fields;
  friend bool operator==(const ResponseHead&, const ResponseHead&) = default;
};

// How many bytes of `bytes` the head has, its empty line included; nothing while that line is not
// there. `seen` is 0 at first and keeps what was looked at between calls. invalid_argument: a bare
// CR or LF, a NUL, or more than kMaxHead.
[[nodiscard]] Result<std::optional<std::size_t>> find_head_end(std::string_view bytes,
                                                               std::size_t& seen);

// `head`: as far as find_head_end() says. invalid_argument names what is wrong.
[[nodiscard]] Result<RequestHead> parse_request_head(std::string_view head);
[[nodiscard]] Result<ResponseHead> parse_response_head(std::string_view head);
// Lines of fields and the empty line: trailers.
[[nodiscard]] Result<Fields> parse_fields(std::string_view lines);

// A token of RFC 9110, 5.6.2: methods and names of fields.
[[nodiscard]] bool is_token(std::string_view text);
// What a request line may ask for: visible characters, and no fragment.
[[nodiscard]] bool is_target(std::string_view text);
// Visible characters, spaces, tabs, and bytes beyond ASCII; none of them at the ends a space.
[[nodiscard]] bool is_field_value(std::string_view text);

enum class BodyKind : std::uint8_t { none, sized, chunked, until_close };

// Where a message ends (RFC 9112, section 6).
struct Framing {
  BodyKind kind = BodyKind::none;
  std::uint64_t size = 0;  // with sized
  friend bool operator==(const Framing&, const Framing&) = default;
};

// invalid_argument: both Content-Length and Transfer-Encoding, more than one of either, codings
// other than chunked, a length that is no number.
[[nodiscard]] Result<Framing> framing_of(const RequestHead& head);
// Of the answer to a request with this method. Two lengths that agree are one.
[[nodiscard]] Result<Framing> framing_of(const ResponseHead& head, std::string_view method);

}  // namespace agentvm::egress::http
