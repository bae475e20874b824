// Bytes of a stream that were read and not yet used.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "egress/tls/byte_stream.h"

namespace agentvm::egress::http {

class StreamReader {
 public:
  // A TLS record's worth at a time; more is kept while nobody consumes, as far as somebody fills.
  static constexpr std::size_t kPiece = std::size_t{16} << 10;

  explicit StreamReader(ByteStream& stream, std::string first = {})
      : stream_(stream), buffer_(std::move(first)), end_(buffer_.size()) {}

  [[nodiscard]] std::string_view view() const {
    return std::string_view(buffer_).substr(begin_, end_ - begin_);
  }
  [[nodiscard]] bool empty() const { return begin_ == end_; }
  void consume(std::size_t size) { begin_ += size; }
  // Reads once more, behind what is there, whose place may change. False at the end.
  [[nodiscard]] Task<bool> fill();
  // Gives the memory back while nothing is expected soon.
  void rest();

 private:
  ByteStream& stream_;
  std::string buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace agentvm::egress::http
