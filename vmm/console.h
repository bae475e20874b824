// The last lines that a machine's parts printed, for error messages. The guest writes most of it:
// bounded in every direction, and nothing in it can move a terminal's cursor.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

namespace agentvm::vmm {

class ConsoleTail {
 public:
  static constexpr std::size_t kMostLines = 40;
  static constexpr std::size_t kLongestLine = 256;  // bytes; the rest of a line is dropped

  // Bytes as they come, in pieces of any size. Lines end with '\n'; '\r' and escape sequences
  // vanish, other control characters and bytes past ASCII become '?'.
  void add(std::string_view bytes);

  // Lines joined by '\n', an unfinished last one included; without a final line end.
  [[nodiscard]] std::string text() const;

 private:
  enum class Escape : unsigned char { none, started, sequence };
  void add(char byte);
  void end_line();

  std::deque<std::string> lines_;
  std::string current_;
  Escape escape_ = Escape::none;
};

}  // namespace agentvm::vmm
