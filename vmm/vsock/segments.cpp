#include "vmm/vsock/segments.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace agentvm::vmm::vsock {

bool copy_front(std::span<const iovec> from, std::span<std::byte> out) {
  for (const iovec& piece : from) {
    if (out.empty()) break;
    const std::size_t count = std::min(piece.iov_len, out.size());
    std::memcpy(out.data(), piece.iov_base, count);
    out = out.subspan(count);
  }
  // Without this the compiler might load from the guest's memory again instead of from the copy.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return out.empty();
}

bool overwrite_front(std::span<const iovec> to, std::span<const std::byte> bytes) {
  for (const iovec& piece : to) {
    if (bytes.empty()) break;
    const std::size_t count = std::min(piece.iov_len, bytes.size());
    std::memcpy(piece.iov_base, bytes.data(), count);
    bytes = bytes.subspan(count);
  }
  return bytes.empty();
}

std::size_t cut(std::span<const iovec> from, std::size_t skip, std::size_t length,
                std::span<iovec> out, std::size_t& count) {
  std::size_t covered = 0;
  for (const iovec& piece : from) {
    if (covered == length || count == out.size()) break;
    if (skip >= piece.iov_len) {
      skip -= piece.iov_len;
      continue;
    }
    const std::size_t part = std::min(piece.iov_len - skip, length - covered);
    out[count++] = {static_cast<std::byte*>(piece.iov_base) + skip, part};
    covered += part;
    skip = 0;
  }
  return covered;
}

}  // namespace agentvm::vmm::vsock
