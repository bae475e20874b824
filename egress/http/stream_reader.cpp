#include "egress/http/stream_reader.h"

#include <cstring>
#include <span>

#include "oci/base/try.h"

namespace agentvm::egress::http {

Task<bool> StreamReader::fill() {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() < end_ + kPiece) buffer_.resize(end_ + kPiece);
  auto got = co_await stream_.read_some(std::span(buffer_).subspan(end_));
  const std::size_t size = CO_TRY(std::move(got));
  end_ += size;
  co_return size > 0;
}

void StreamReader::rest() {
  if (!empty()) return;
  buffer_ = {};
  begin_ = end_ = 0;
}

}  // namespace agentvm::egress::http
