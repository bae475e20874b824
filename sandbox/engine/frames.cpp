#include "sandbox/engine/frames.h"

#include <algorithm>

#include "oci/base/try.h"

namespace agentvm::sandbox {

Result<void> FrameReader::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (left_ > 0) {
      const std::size_t size = std::min<std::size_t>(left_, bytes.size());
      TRY(sink_(head_[0] == 2 ? 2 : 1, bytes.substr(0, size)));
      left_ -= static_cast<std::uint32_t>(size);
      bytes.remove_prefix(size);
      continue;
    }
    head_[head_size_++] = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    if (head_size_ < sizeof head_) continue;
    head_size_ = 0;
    if (head_[0] > 2 || head_[1] != 0 || head_[2] != 0 || head_[3] != 0) {
      return fail(ErrorKind::unavailable, "Docker's stream has a broken frame");
    }
    left_ = std::uint32_t{head_[4]} << 24 | std::uint32_t{head_[5]} << 16 |
            std::uint32_t{head_[6]} << 8 | std::uint32_t{head_[7]};
  }
  return {};
}

}  // namespace agentvm::sandbox
