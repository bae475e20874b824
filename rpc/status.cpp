#include "rpc/status.h"

#include <array>
#include <cstddef>

namespace agentvm::rpc {

std::int32_t status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::invalid_argument:
      return 3;
    case ErrorKind::not_found:
      return 5;
    case ErrorKind::already_exists:
      return 6;
    case ErrorKind::failed_precondition:
      return 9;
    case ErrorKind::unavailable:
      return 14;
    case ErrorKind::internal:
      return 13;
  }
  return 13;
}

ErrorKind kind_of_status(std::int32_t code) {
  constexpr std::int32_t kDeadlineExceeded = 4;
  for (const ErrorKind kind :
       {ErrorKind::invalid_argument, ErrorKind::not_found, ErrorKind::already_exists,
        ErrorKind::failed_precondition, ErrorKind::unavailable}) {
    if (status_of(kind) == code) return kind;
  }
  return code == kDeadlineExceeded ? ErrorKind::unavailable : ErrorKind::internal;
}

namespace {

// The length of the well-formed UTF-8 sequence (Unicode 15, table 3-7) that `text` begins with,
// 0 when there is none.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  std::size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  }
  if (length == 0 || text.size() < length || byte(1) < low || byte(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  }
  return length;
}

// C0, DEL and C1 (U+0080 to U+009F, which some terminals obey).
bool is_control(std::string_view sequence) {
  const auto first = static_cast<unsigned char>(sequence[0]);
  if (sequence.size() == 1) return first < 0x20 || first == 0x7F;
  return first == 0xC2 && static_cast<unsigned char>(sequence[1]) < 0xA0;
}

}  // namespace

std::string printable(std::string_view text, std::size_t limit) {
  constexpr std::string_view kCut = "...";
  std::string clean;
  std::size_t cut_at = 0;  // where kCut still fits, between two characters
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    std::string_view piece = text.substr(0, length == 0 ? 1 : length);
    text.remove_prefix(piece.size());
    if (length == 0) {
      piece = "?";
    } else if (is_control(piece)) {
      piece = " ";
    }
    if (clean.size() + piece.size() > limit) {
      clean.resize(cut_at);
      return limit < kCut.size() ? clean : clean.append(kCut);
    }
    clean.append(piece);
    if (clean.size() + kCut.size() <= limit) cut_at = clean.size();
  }
  return clean;
}

}  // namespace agentvm::rpc
