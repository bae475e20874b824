#include "egress/http/chunks.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "egress/http/head.h"
#include "oci/base/try.h"

namespace agentvm::egress::http {

namespace {

// Chunks beyond 2^52 are nobody's, and no server's arithmetic overflows below.
constexpr std::size_t kMaxSizeDigits = 13;

std::unexpected<Error> malformed(std::string what) {
  return fail(ErrorKind::invalid_argument, std::move(what));
}

}  // namespace

Result<ChunkDecoder::Step> ChunkDecoder::feed(std::string_view input) {
  switch (state_) {
    case State::size:
      return feed_size(input);
    case State::payload: {
      const std::size_t taken =
          static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size()));
      left_ -= taken;
      if (left_ == 0) state_ = State::payload_end;
      return Step{taken, input.substr(0, taken)};
    }
    case State::payload_end:
      return feed_payload_end(input);
    case State::trailers:
      return feed_trailers(input);
    case State::ended:
      break;
  }
  return Step{};
}

Result<ChunkDecoder::Step> ChunkDecoder::feed_size(std::string_view input) {
  const std::size_t end = input.substr(0, kMaxChunkLine).find('\n');
  if (end == std::string_view::npos) {
    if (input.size() >= kMaxChunkLine) return malformed("a chunk's size line is too long");
    return Step{};
  }
  if (end == 0 || input[end - 1] != '\r') return malformed("a chunk's size ends without CRLF");
  const std::string_view line = input.substr(0, end - 1);
  std::uint64_t size = 0;
  const auto [stop, code] = std::from_chars(line.begin(), line.end(), size, 16);
  const auto digits = static_cast<std::size_t>(stop - line.begin());
  if (code != std::errc() || digits > kMaxSizeDigits)
    return malformed("a chunk's size is no number");
  // Extensions mean nothing to anybody and end here. Some servers fill up with spaces.
  const std::string_view extension = trim(line.substr(digits));
  if ((!extension.empty() && extension.front() != ';') || !is_field_value(extension)) {
    return malformed("a chunk's size is no number");
  }
  left_ = size;
  state_ = size > 0 ? State::payload : State::trailers;
  return Step{end + 1, {}};
}

Result<ChunkDecoder::Step> ChunkDecoder::feed_payload_end(std::string_view input) {
  if (!input.empty() && input[0] != '\r') return malformed("a chunk is longer than its size");
  if (input.size() < 2) return Step{};
  if (input[1] != '\n') return malformed("a chunk is longer than its size");
  state_ = State::size;
  return Step{2, {}};
}

Result<ChunkDecoder::Step> ChunkDecoder::feed_trailers(std::string_view input) {
  const auto end = TRY(find_head_end(input.substr(0, kMaxTrailers), seen_));
  if (!end) {
    if (input.size() >= kMaxTrailers) return malformed("too many trailers");
    return Step{};
  }
  trailers_ = TRY(parse_fields(input.substr(0, *end)));
  state_ = State::ended;
  return Step{*end, {}};
}

void append_chunk_size(std::string& out, std::size_t size) {
  fmt::format_to(std::back_inserter(out), "{:x}\r\n", size);
}

}  // namespace agentvm::egress::http
