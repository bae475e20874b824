// The one call that a guest makes of its host: service Names of agent.proto.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace agentvm::rpc {

inline constexpr const char* kNamesService = "agentvm.agent.v1.Names";
inline constexpr const char* kResolveMethod = "Resolve";
inline constexpr std::size_t kMaxNameMessage = 65535;

// As DNS messages travel over TCP (RFC 1035, 4.2.2). Of at most kMaxNameMessage bytes.
[[nodiscard]] inline std::string with_length(std::string_view message) {
  std::string framed;
  framed += static_cast<char>(message.size() >> 8);
  framed += static_cast<char>(message.size() & 0xff);
  return framed.append(message);
}

}  // namespace agentvm::rpc
