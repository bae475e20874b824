// A text that nobody may read twice: moved, never copied, and wiped when it goes.
#pragma once

#include <string.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>

namespace agentvm::egress {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view text)
      : bytes_(std::make_unique_for_overwrite<char[]>(text.size())), size_(text.size()) {
    std::ranges::copy(text, bytes_.get());
  }
  Secret(Secret&& other) noexcept
      : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)) {}
  Secret& operator=(Secret&& other) noexcept {
    wipe();
    bytes_ = std::move(other.bytes_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { wipe(); }

  // Valid while the Secret is. Whoever copies it wipes the copy.
  [[nodiscard]] std::string_view reveal() const { return {bytes_.get(), size_}; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

 private:
  void wipe() {
    if (bytes_) ::explicit_bzero(bytes_.get(), size_);
  }
  std::unique_ptr<char[]> bytes_;
  std::size_t size_ = 0;
};

// "Basic " and "user:password" in base64 (RFC 7617).
[[nodiscard]] Secret basic_authorization(std::string_view user_and_password);

}  // namespace agentvm::egress
