// The files of an agent sandbox on the host, as far as the runtime reads them: whose they are. What
// they say about the network is for its gateway to read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"
#include "runtime/config.h"

namespace agentvm::runtime {

// Of gateway.json.
struct SettingsHead {
  std::uint32_t version = 0;
  std::string sandbox;
  std::string container;  // the OCI container that the sandbox is
};

inline constexpr std::size_t kMaxSettingsBytes = std::size_t{4} << 20;
[[nodiscard]] Result<SettingsHead> parse_settings_head(std::string_view json);

struct SandboxFiles {
  UniqueFd settings;
  UniqueFd values;  // the secrets; nothing when there are none
};

// Opens them for reading. failed_precondition when there is no such sandbox, when it is another
// container than `container`, for files that everybody may write, and for secrets that everybody
// may read.
[[nodiscard]] Result<SandboxFiles> open_sandbox_files(const SandboxConfig& config,
                                                      const std::string& name,
                                                      const std::string& container);

// Of machine.json, which may be missing: what the sandbox's VM has. It is the host's owner who says
// so, not the bundle, and nothing has to be allowed.
struct SandboxMachine {
  std::uint32_t version = 0;
  std::string container;
  std::optional<bool> docker;  // where the image has a dockerd
  std::optional<std::uint64_t> disk_mib;
};
[[nodiscard]] Result<SandboxMachine> parse_sandbox_machine(std::string_view json);
[[nodiscard]] Result<SandboxMachine> load_sandbox_machine(const SandboxConfig& config,
                                                          const std::string& name,
                                                          const std::string& container);

}  // namespace agentvm::runtime
