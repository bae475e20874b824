// What a guest writes to its console: the tail stays small and printable.
#include "vmm/console.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using agentvm::vmm::ConsoleTail;
  ConsoleTail tail;
  tail.add(std::string_view(reinterpret_cast<const char*>(data), size));
  const std::string text = tail.text();
  const auto lines = std::count(text.begin(), text.end(), '\n') + 1;
  if (lines > static_cast<std::ptrdiff_t>(ConsoleTail::kMostLines)) __builtin_trap();
  if (text.size() > ConsoleTail::kMostLines * (ConsoleTail::kLongestLine + 1)) __builtin_trap();
  for (const char byte : text) {
    if (byte != '\n' && (byte < ' ' || byte > '~')) __builtin_trap();
  }
  return 0;
}
