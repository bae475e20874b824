// process.capabilities (config.md, capabilities(7)).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "oci/base/error.h"
#include "oci/spec.h"

namespace agentvm::guest {

// One bit per capability, by its number.
struct CapabilityMasks {
  std::uint64_t bounding = 0;
  std::uint64_t effective = 0;
  std::uint64_t inheritable = 0;
  std::uint64_t permitted = 0;
  std::uint64_t ambient = 0;
  friend bool operator==(const CapabilityMasks&, const CapabilityMasks&) = default;
};

// Names that this kernel does not have are left out, as runc does.
[[nodiscard]] std::uint64_t capability_mask(const std::vector<std::string>& names);
[[nodiscard]] CapabilityMasks capability_masks(const oci::Capabilities& capabilities);

// In this order, with the change of user in between: drop_bounding() needs CAP_SETPCAP, and
// keep_capabilities() lets them survive the change for set_capabilities() to choose from.
[[nodiscard]] Result<void> drop_bounding(std::uint64_t keep);
[[nodiscard]] Result<void> keep_capabilities();
[[nodiscard]] Result<void> set_capabilities(const CapabilityMasks& masks);

}  // namespace agentvm::guest
