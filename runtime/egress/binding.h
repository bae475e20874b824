// A container that is an agent sandbox: what create decides about it.
#pragma once

#include <optional>
#include <string>

#include "oci/base/error.h"
#include "oci/spec.h"
#include "runtime/config.h"

namespace agentvm::runtime {

struct SandboxBinding {
  std::string name;
  std::string
      resolv_conf;  // of the host: where the namespace's DNS servers are; "": there are none
};

// Nothing for a container that names none. Refuses what find_sandbox_name() and
// open_sandbox_files() do, and says when the gateway is missing. The guest's resolv.conf becomes
// read-only in `spec`, and the VM gets what the sandbox's machine.json says, by `config` and
// `spec`.
[[nodiscard]] Result<std::optional<SandboxBinding>> bind_to_sandbox(oci::Spec& spec,
                                                                    const std::string& bundle,
                                                                    const std::string& container,
                                                                    Config& config);

// For a container of a pod, whose network is not its own: refused when it names a sandbox.
[[nodiscard]] Result<void> refuse_sandbox_in_pod(const oci::Spec& spec);

}  // namespace agentvm::runtime
