// ErrorKind and the status codes of ttrpc (google.rpc.Code), and text that crosses the wire.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "oci/base/error.h"

namespace agentvm::rpc {

inline constexpr std::int32_t kStatusOk = 0;
inline constexpr std::int32_t kStatusUnimplemented = 12;

[[nodiscard]] std::int32_t status_of(ErrorKind kind);
// Codes that no ErrorKind stands for become internal, DEADLINE_EXCEEDED becomes unavailable.
[[nodiscard]] ErrorKind kind_of_status(std::int32_t code);

// `text` as valid UTF-8 without control characters, at most `limit` bytes: protobuf refuses other
// strings, and what a guest says must not steer a terminal or forge a line of a log. What is no
// UTF-8 becomes '?', a control character a blank, and a cut is marked by "...".
[[nodiscard]] std::string printable(std::string_view text, std::size_t limit);
// Longest error message that is sent or believed: the causes, which stand last, survive a path or
// two of PATH_MAX.
inline constexpr std::size_t kMaxMessageBytes = 16384;

}  // namespace agentvm::rpc
