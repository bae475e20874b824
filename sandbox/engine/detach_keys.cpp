#include "sandbox/engine/detach_keys.h"

#include <fmt/format.h>

#include "oci/base/text.h"
#include "oci/base/try.h"

namespace agentvm::sandbox {

namespace {

constexpr std::string_view kControl = "ctrl-";

Result<char> parse_key(std::string_view key) {
  if (key.size() == 1) return key.front();
  if (key.starts_with(kControl) && key.size() == kControl.size() + 1) {
    const char c = key.back();
    if (c >= 'a' && c <= 'z') return static_cast<char>(c - 'a' + 1);
    if (c == '@') return '\0';
    if (c >= '[' && c <= '_') return static_cast<char>(c - '[' + 27);
  }
  return fail(ErrorKind::invalid_argument,
              fmt::format("detach keys: '{}' is neither a character nor ctrl- and a letter", key));
}

}  // namespace

Result<std::string> parse_detach_keys(std::string_view text) {
  std::string sequence;
  for (const std::string_view key : split(text, ",")) sequence += TRY(parse_key(key));
  if (sequence.empty()) return fail(ErrorKind::invalid_argument, "detach keys: none are named");
  return sequence;
}

std::string DetachKeys::pass(std::string_view typed) {
  std::string out;
  for (const char c : typed) {
    if (found_) break;
    if (c == sequence_[matched_]) {
      found_ = ++matched_ == sequence_.size();
      continue;
    }
    out += sequence_.substr(0, matched_);
    matched_ = c == sequence_.front() ? 1 : 0;
    found_ = matched_ == sequence_.size();
    if (matched_ == 0) out += c;
  }
  return out;
}

}  // namespace agentvm::sandbox
