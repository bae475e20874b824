// Reading numbers and pieces of a message, never past its end. Network byte order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace agentvm::egress {

// After a read past the end it has failed(), and reads give zeros and nothing.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }
  [[nodiscard]] std::size_t left() const { return rest_.size(); }

  std::string_view take(std::size_t size) {
    if (size > rest_.size()) {
      failed_ = true;
      rest_ = {};
      return {};
    }
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  std::uint32_t number(std::size_t bytes) {
    std::uint32_t value = 0;
    for (const char c : take(bytes)) value = (value << 8) | static_cast<unsigned char>(c);
    return value;
  }
  // A piece whose length stands before it, in `bytes` bytes.
  std::string_view piece(std::size_t bytes) { return take(number(bytes)); }

 private:
  std::string_view rest_;
  bool failed_ = false;
};

}  // namespace agentvm::egress
