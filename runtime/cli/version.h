// What `--version` prints. Docker parses "agentvm version X" and "commit: Y" of its default
// runtime.
#pragma once

#include <string>

namespace agentvm::runtime::cli {

[[nodiscard]] std::string version_text();

}  // namespace agentvm::runtime::cli
