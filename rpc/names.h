// The one call that a guest makes of its host: service Names of agent.proto.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace agentvm::rpc {

inline constexpr const char* kNamesService = "agentvm.agent.v1.Names";
inline constexpr const char* kResolveMethod = "Resolve";
inline constexpr std::size_t kMaxNameMessage = 65535;

// Where Docker's resolver listens, in the container's namespace and for its programs.
inline constexpr std::uint32_t kResolverAddress = 0x7f00000b;
inline constexpr const char* kResolverName = "127.0.0.11";  // the same as text
inline constexpr std::uint16_t kDnsPort = 53;

// As DNS messages travel over TCP (RFC 1035, 4.2.2). Of at most kMaxNameMessage bytes.
[[nodiscard]] inline std::string with_length(std::string_view message) {
  std::string framed;
  framed += static_cast<char>(message.size() >> 8);
  framed += static_cast<char>(message.size() & 0xff);
  return framed.append(message);
}
// What the two bytes before a message say.
[[nodiscard]] inline std::size_t length_of(const std::array<unsigned char, 2>& bytes) {
  return (std::size_t{bytes[0]} << 8) | bytes[1];
}

}  // namespace agentvm::rpc
