// config.toml: what parses can be described; errors name a place.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "runtime/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto config =
      agentvm::runtime::parse_config({reinterpret_cast<const char*>(data), size}, "c.toml");
  if (!config) {
    if (!config.error().message.starts_with("c.toml:")) std::abort();
    return 0;
  }
  if (agentvm::runtime::describe_config(*config).empty()) std::abort();
  return 0;
}
