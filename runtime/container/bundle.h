// A bundle as create finds it (bundle.md).
#pragma once

#include <string>

#include "oci/base/error.h"
#include "oci/spec.h"

namespace agentvm::runtime {

struct Bundle {
  std::string path;  // absolute, symlinks resolved
  oci::Spec spec;    // with a process
};

// not_found, naming what writes one, without a config.json.
[[nodiscard]] Result<Bundle> load_bundle(const std::string& given);

}  // namespace agentvm::runtime
