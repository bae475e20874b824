#include "vmm/vsock/connect_line.h"

#include <charconv>
#include <limits>

namespace agentvm::vmm::vsock {

std::optional<std::uint32_t> parse_connect_line(std::string_view line) {
  constexpr std::string_view kVerb = "CONNECT ";
  if (!line.starts_with(kVerb)) return std::nullopt;
  line.remove_prefix(kVerb.size());
  std::uint32_t port = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), port);
  if (error != std::errc() || end != line.data() + line.size()) return std::nullopt;
  if (port == std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
  return port;
}

}  // namespace agentvm::vmm::vsock
