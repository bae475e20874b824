// The frames of ttrpc 1.2 (containerd/ttrpc, PROTOCOL.md): a header of 10 bytes, then `length`
// bytes of data. Pure: bytes in, frames out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "oci/base/error.h"

namespace agentvm::rpc {

inline constexpr std::size_t kFrameHeaderBytes = 10;
// What containerd allows as data of one frame.
inline constexpr std::size_t kMaxFrameBytes = std::size_t{4} << 20;

// Unary calls need no others: a data frame (3) belongs to streaming, which is refused.
enum class FrameType : std::uint8_t { request = 1, response = 2 };

struct Frame {
  std::uint32_t stream_id = 0;  // odd: every stream is the client's
  FrameType type = FrameType::request;
  std::uint8_t flags = 0;  // of a request: 0 is unary
  std::string data;

  friend bool operator==(const Frame&, const Frame&) = default;
};

// Header and data as one piece. invalid_argument past kMaxFrameBytes.
[[nodiscard]] Result<std::string> encode_frame(const Frame& frame);

// Cuts a byte stream into frames. It never holds more than one frame and what was fed beyond it,
// and allocates for bytes that have come, not for those a header promises.
class FrameParser {
 public:
  void feed(std::string_view bytes);
  // The next whole frame, nullopt when bytes are missing. invalid_argument on a length past
  // kMaxFrameBytes, an unknown type or an even stream id: nothing after that can be trusted.
  [[nodiscard]] Result<std::optional<Frame>> next();
  // No part of a frame is held: an end of file here is an orderly one.
  [[nodiscard]] bool at_boundary() const { return taken_ == held_.size(); }

 private:
  std::string held_;
  std::size_t taken_ = 0;  // bytes of held_ that next() has handed out
};

}  // namespace agentvm::rpc
