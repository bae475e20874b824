// /proc of a hostile container: a process names itself and writes its own arguments.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "guest-agent/process_list.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // Three files in one input, parted by the first two bytes.
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 2), size - 2);
  const std::size_t first = std::min<std::size_t>(data[0], bytes.size());
  const std::size_t second = std::min<std::size_t>(first + data[1], bytes.size());
  const auto entry = agentvm::guest::parse_process(
      bytes.substr(0, first), bytes.substr(first, second - first), bytes.substr(second), 100);
  if (entry && entry->command.size() > 1024) __builtin_trap();
  return 0;
}
