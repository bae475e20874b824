#include "vmm/console.h"

#include <utility>

namespace agentvm::vmm {

namespace {

constexpr char kEscape = '\x1b';

bool is_printable(char byte) {
  return byte >= ' ' && byte <= '~';
}

}  // namespace

void ConsoleTail::add(std::string_view bytes) {
  for (const char byte : bytes) add(byte);
}

void ConsoleTail::add(char byte) {
  if (byte == '\n') return end_line();
  switch (escape_) {
    case Escape::started:
      // "ESC [" opens a sequence that ends with a letter (ECMA-48); other escapes have one byte.
      escape_ = byte == '[' ? Escape::sequence : Escape::none;
      return;
    case Escape::sequence:
      if (byte >= '@' && byte <= '~') escape_ = Escape::none;
      return;
    case Escape::none:
      break;
  }
  if (byte == kEscape) {
    escape_ = Escape::started;
  } else if (byte != '\r' && current_.size() < kLongestLine) {
    current_ += byte == '\t' ? ' ' : (is_printable(byte) ? byte : '?');
  }
}

void ConsoleTail::end_line() {
  escape_ = Escape::none;
  if (current_.empty()) return;
  lines_.push_back(std::exchange(current_, {}));
  if (lines_.size() > kMostLines) lines_.pop_front();
}

std::string ConsoleTail::text() const {
  std::string text;
  const std::size_t skipped = lines_.size() == kMostLines && !current_.empty() ? 1 : 0;
  for (std::size_t i = skipped; i < lines_.size(); ++i) {
    if (!text.empty()) text += '\n';
    text += lines_[i];
  }
  if (current_.empty()) return text;
  return text.empty() ? current_ : text + '\n' + current_;
}

}  // namespace agentvm::vmm
