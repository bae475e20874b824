// Bytes from the guest that its client has not taken yet. Bounded by the connection's window: the
// guest has no credit for more. Empty it holds no memory.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <vector>

namespace agentvm::vmm::vsock {

class Backlog {
 public:
  void append(std::span<const iovec> pieces);
  // The bytes in front; valid until the next call that is not const.
  [[nodiscard]] std::span<const std::byte> bytes() const {
    return std::span(buffer_).subspan(taken_);
  }
  void drop_front(std::size_t count);
  // Drops everything and says how much that was.
  std::size_t clear();
  [[nodiscard]] bool empty() const { return taken_ == buffer_.size(); }

 private:
  std::vector<std::byte> buffer_;
  std::size_t taken_ = 0;
};

}  // namespace agentvm::vmm::vsock
