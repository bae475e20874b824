// What the `docker` command asks of its plugins (docker/cli, "CLI plugins": a program
// docker-sandbox that is called with docker's own arguments).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"

namespace agentvm::sandbox {

inline constexpr std::string_view kPluginName = "docker-sandbox";
inline constexpr std::string_view kPluginQuestion = "docker-cli-plugin-metadata";

// The answer to kPluginQuestion: JSON.
[[nodiscard]] std::string plugin_metadata();

// docker's arguments as ours: its global options before "sandbox" are kept where they mean the
// same, and refused where they would be silently lost (TLS, contexts).
[[nodiscard]] Result<std::vector<std::string>> plugin_words(const std::vector<std::string>& words);

}  // namespace agentvm::sandbox
