// Strings as execve(2) takes them. Borrows the strings.
#pragma once

#include <string>
#include <vector>

namespace agentvm::guest {

class Argv {
 public:
  explicit Argv(const std::vector<std::string>& strings) {
    pointers_.reserve(strings.size() + 1);
    for (const std::string& string : strings) {
      pointers_.push_back(const_cast<char*>(string.c_str()));
    }
    pointers_.push_back(nullptr);
  }
  [[nodiscard]] char* const* get() const { return pointers_.data(); }

 private:
  std::vector<char*> pointers_;
};

}  // namespace agentvm::guest
