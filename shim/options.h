// The options of a CreateTaskRequest: containerd's configuration of the runtime. Pure.
#pragma once

#include <string>

#include "oci/base/error.h"
#include "rpc/containerd/types.pb.h"

namespace agentvm::shim {

struct RuntimeChoice {
  std::string config_path;  // agentvm's --config; empty: the default one
  bool systemd_cgroup = false;
  std::string note;  // what was given and means nothing here; for the log
  friend bool operator==(const RuntimeChoice&, const RuntimeChoice&) = default;
};

// runtimeoptions.v1.Options (ConfigPath) and containerd.runc.v1.Options (SystemdCgroup), with or
// without a host before the type's name; an untyped one is the former. What else there is does not
// apply to a VM. invalid_argument when it cannot be read.
[[nodiscard]] Result<RuntimeChoice> read_options(const containerd::types::Any& options);

}  // namespace agentvm::shim
