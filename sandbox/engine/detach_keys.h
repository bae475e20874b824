// The keys that leave a container running: ctrl-p ctrl-q, or --detach-keys as Docker writes them.
#pragma once

#include <string>
#include <string_view>

#include "oci/base/error.h"

namespace agentvm::sandbox {

// "ctrl-p,ctrl-q", "ctrl-x,d": single characters and "ctrl-" with a letter or one of @ [ \ ] ^ _.
[[nodiscard]] Result<std::string> parse_detach_keys(std::string_view text);

// Looks for the sequence in what is typed. Bytes that might be its beginning are held back until
// the next ones decide.
class DetachKeys {
 public:
  explicit DetachKeys(std::string sequence) : sequence_(std::move(sequence)) {}
  // What goes on to the container; `found` once the sequence was whole.
  [[nodiscard]] std::string pass(std::string_view typed);
  [[nodiscard]] bool found() const { return found_; }

 private:
  std::string sequence_;
  std::size_t matched_ = 0;
  bool found_ = false;
};

}  // namespace agentvm::sandbox
