// Who we are, as `--version` and `features` print it.
#pragma once

#include <string>

namespace agentvm::runtime::cli {

[[nodiscard]] std::string version();          // "0.1.0"
[[nodiscard]] std::string commit();           // of the source, "unknown" outside a checkout
[[nodiscard]] std::string seccomp_version();  // of the libseccomp that the guest agent contains

// Docker parses "agentvm version X" and "commit: Y" of its default runtime.
[[nodiscard]] std::string version_text();

}  // namespace agentvm::runtime::cli
