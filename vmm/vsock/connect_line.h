// The line with which a client of the hybrid vsock names the guest's port: "CONNECT <port>\n".
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace agentvm::vmm::vsock {

// Of a line with its newline; a longer one cannot be right.
inline constexpr std::size_t kMaxConnectLine = 32;

// `line` without its newline. A port is decimal digits, less than 2^32 - 1 (VMADDR_PORT_ANY).
[[nodiscard]] std::optional<std::uint32_t> parse_connect_line(std::string_view line);

}  // namespace agentvm::vmm::vsock
