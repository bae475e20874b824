// The body of POST /containers/create for a sandbox. Pure.
#pragma once

#include <string>
#include <string_view>

#include "oci/base/error.h"
#include "sandbox/engine/docker.h"
#include "sandbox/store/record.h"

namespace agentvm::sandbox {

inline constexpr const char* kLabel = "io.agentvm.sandbox";
inline constexpr const char* kAgentLabel = "io.agentvm.sandbox.agent";
inline constexpr const char* kWorkspaceLabel = "io.agentvm.sandbox.workspace";
// Names the sandbox to the runtime, with every Docker; beside it an annotation, with those that
// have any (API 1.43).
inline constexpr const char* kMarker = "AGENTVM_SANDBOX";
// Where the guest has the host's part of the sandbox, read-only.
inline constexpr const char* kGuestPlace = "/run/agentvm-sandbox";

struct PortMapping {
  std::string host_ip;    // 127.0.0.1 unless it is given: the agent's servers are for this host
  std::string host_port;  // "": Docker chooses
  std::string container;  // "8080/tcp"
  friend bool operator==(const PortMapping&, const PortMapping&) = default;
};
// "8080", "3000:8080", "127.0.0.1:3000:8080/udp", "[::1]:3000:8080".
[[nodiscard]] Result<PortMapping> parse_port(std::string_view text);

// `guest` is the host's directory for kGuestPlace. The record's ports and environment must have
// been checked.
[[nodiscard]] Result<std::string> container_request(const Record& record, const std::string& guest,
                                                    ApiVersion version);

}  // namespace agentvm::sandbox
