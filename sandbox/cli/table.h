// Columns of text, as wide as they need to be. What guests wrote is made harmless for terminals.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace agentvm::sandbox {

class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }
  void add(std::vector<std::string> row);
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// Control characters as '?', so that no text can steer a terminal.
[[nodiscard]] std::string harmless(std::string_view text);

}  // namespace agentvm::sandbox
