// Agents, services and presets: what parses has what is required; errors name a place.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "sandbox/catalog/catalog.h"

namespace {

void check(const auto& parsed) {
  if (!parsed && !parsed.error().message.starts_with("a.toml:")) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto agent = agentvm::sandbox::parse_agent(text, "a.toml");
  if (agent && (agent->image.empty() || agent->command.empty())) std::abort();
  check(agent);
  check(agentvm::sandbox::parse_service(text, "a.toml"));
  check(agentvm::sandbox::parse_preset(text, "a.toml"));
  return 0;
}
