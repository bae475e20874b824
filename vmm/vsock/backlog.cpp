#include "vmm/vsock/backlog.h"

namespace agentvm::vmm::vsock {

void Backlog::append(std::span<const iovec> pieces) {
  std::size_t more = 0;
  for (const iovec& piece : pieces) more += piece.iov_len;
  // Rather move what is there to the front than grow: the sum is bounded, the travel is not.
  if (taken_ > 0 && buffer_.size() + more > buffer_.capacity()) {
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(taken_));
    taken_ = 0;
  }
  buffer_.reserve(buffer_.size() + more);
  for (const iovec& piece : pieces) {
    const auto* const from = static_cast<const std::byte*>(piece.iov_base);
    buffer_.insert(buffer_.end(), from, from + piece.iov_len);
  }
}

void Backlog::drop_front(std::size_t count) {
  taken_ += count;
  if (empty()) clear();
}

std::size_t Backlog::clear() {
  const std::size_t dropped = buffer_.size() - taken_;
  buffer_ = {};
  taken_ = 0;
  return dropped;
}

}  // namespace agentvm::vmm::vsock
