// How a container names the agent sandbox that it is. Docker up to 22 passes no annotations, so an
// environment variable does as well. Whoever may write either (an image, `docker run -e`) gains
// nothing: a sandbox's settings name the one container that it is (settings.h).
#pragma once

#include <string>
#include <string_view>

#include "oci/base/error.h"
#include "oci/spec.h"

namespace agentvm::runtime {

inline constexpr const char* kSandboxAnnotation = "io.agentvm.sandbox";
// The guest sees it too, in every process: it is a name and no more.
inline constexpr const char* kSandboxVariable = "AGENTVM_SANDBOX";

// [a-z0-9][a-z0-9_.-]{0,62}
[[nodiscard]] bool is_sandbox_name(std::string_view name);

// "": the bundle names none. An empty variable is none: an image cannot be rid of one that it was
// saved with in any other way. invalid_argument for what is no name, for two variables, and for a
// variable and an annotation that differ.
[[nodiscard]] Result<std::string> find_sandbox_name(const oci::Spec& spec);

}  // namespace agentvm::runtime
