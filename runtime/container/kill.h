// kill: a signal to a container (runtime.md "Kill").
#pragma once

#include <string>

#include "runtime/container/engine.h"

namespace agentvm::runtime {

// `signal`: "15", "TERM" or "SIGTERM", any case. invalid_argument: `unknown signal "FOO"`.
[[nodiscard]] Result<int> parse_signal(const std::string& signal);

// To init, or with `all` to every process. SIGKILL returns when the stand-in has ended or a short
// while has passed; a guest that does not answer loses its VM. failed_precondition: `container not
// running`; with `all` a stopped container is fine, as with runc.
[[nodiscard]] Result<void> kill_container(const Engine& engine, const std::string& id, int signal,
                                          bool all);

}  // namespace agentvm::runtime
