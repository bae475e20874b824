// What a gateway answers and writes down, which has read what a guest sent: lines for a terminal
// carry no control characters.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "sandbox/cli/decision_log.h"
#include "sandbox/engine/frames.h"
#include "sandbox/store/control.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)agentvm::sandbox::parse_update_answer(text);
  (void)agentvm::sandbox::parse_check_answer(text);
  if (const auto decision = agentvm::sandbox::parse_decision(text)) {
    for (const char c : agentvm::sandbox::to_text(*decision)) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) std::abort();
    }
  }
  std::size_t given = 0;
  agentvm::sandbox::FrameReader frames([&](int, std::string_view bytes) {
    given += bytes.size();
    return agentvm::Result<void>();
  });
  (void)frames.feed(text);
  if (given > size) std::abort();
  return 0;
}
