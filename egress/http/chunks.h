// The chunked coding (RFC 9112, section 7.1), decoded strictly; it is encoded anew on the way out,
// so that whatever came cannot mean two things.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "egress/http/fields.h"
#include "oci/base/error.h"

namespace agentvm::egress::http {

inline constexpr std::size_t kMaxChunkLine = 1024;      // size and extensions
inline constexpr std::size_t kMaxTrailers = 16U << 10;  // bytes

class ChunkDecoder {
 public:
  struct Step {
    std::size_t used = 0;      // of the input, to be taken off it
    std::string_view payload;  // within the used
  };
  // Reads on. A step that used nothing and has not ended wants more input. invalid_argument for
  // sizes that are no number, for anything but CRLF at a line's end.
  [[nodiscard]] Result<Step> feed(std::string_view input);
  [[nodiscard]] bool ended() const { return state_ == State::ended; }
  [[nodiscard]] const Fields& trailers() const { return trailers_; }

 private:
  enum class State : std::uint8_t { size, payload, payload_end, trailers, ended };
  [[nodiscard]] Result<Step> feed_size(std::string_view input);
  [[nodiscard]] Result<Step> feed_payload_end(std::string_view input);
  [[nodiscard]] Result<Step> feed_trailers(std::string_view input);

  State state_ = State::size;
  std::uint64_t left_ = 0;  // of the chunk
  std::size_t seen_ = 0;    // of the trailers
  Fields trailers_;
};

// "1f\r\n" before a chunk of that size.
void append_chunk_size(std::string& out, std::size_t size);

}  // namespace agentvm::egress::http
