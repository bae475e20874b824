#include "guest-agent/launch/capabilities.h"

#include <fmt/format.h>
#include <sys/capability.h>
#include <sys/prctl.h>

#include <array>
#include <cerrno>
#include <memory>

#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

// What both the kernel and a 64-bit mask have.
cap_value_t capability_count() {
  return std::min<cap_value_t>(::cap_max_bits(), 64);
}

bool has(std::uint64_t mask, cap_value_t capability) {
  return (mask >> capability & 1) != 0;
}

std::string name_of_capability(cap_value_t capability) {
  const std::unique_ptr<char, int (*)(void*)> name(::cap_to_name(capability), ::cap_free);
  return name ? name.get() : fmt::to_string(capability);
}

Result<void> fill(cap_t set, cap_flag_t flag, std::uint64_t mask) {
  for (cap_value_t capability = 0; capability < capability_count(); ++capability) {
    if (!has(mask, capability)) continue;
    if (::cap_set_flag(set, flag, 1, &capability, CAP_SET) != 0) {
      return fail_errno(errno, name_of_capability(capability));
    }
  }
  return {};
}

Result<void> set_ambient(std::uint64_t mask) {
  if (::cap_reset_ambient() != 0) return fail_errno(errno, "clear the ambient capabilities");
  for (cap_value_t capability = 0; capability < capability_count(); ++capability) {
    if (has(mask, capability) && ::cap_set_ambient(capability, CAP_SET) != 0) {
      return fail_errno(errno,
                        fmt::format("ambient capability {} (it must be permitted and inheritable)",
                                    name_of_capability(capability)));
    }
  }
  return {};
}

}  // namespace

std::uint64_t capability_mask(const std::vector<std::string>& names) {
  std::uint64_t mask = 0;
  for (const std::string& name : names) {
    cap_value_t capability = 0;
    if (::cap_from_name(name.c_str(), &capability) != 0) continue;
    if (capability < capability_count()) mask |= std::uint64_t{1} << capability;
  }
  return mask;
}

CapabilityMasks capability_masks(const oci::Capabilities& capabilities) {
  return {capability_mask(capabilities.bounding), capability_mask(capabilities.effective),
          capability_mask(capabilities.inheritable), capability_mask(capabilities.permitted),
          capability_mask(capabilities.ambient)};
}

Result<void> drop_bounding(std::uint64_t keep) {
  for (cap_value_t capability = 0; capability < capability_count(); ++capability) {
    if (has(keep, capability)) continue;
    if (::cap_drop_bound(capability) != 0) {
      return fail_errno(
          errno, fmt::format("drop {} from the bounding set", name_of_capability(capability)));
    }
  }
  return {};
}

Result<void> keep_capabilities() {
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return fail_errno(errno, "keep capabilities");
  return {};
}

Result<void> set_capabilities(const CapabilityMasks& masks) {
  if (::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0) return fail_errno(errno, "keep capabilities");
  const std::unique_ptr<std::remove_pointer_t<cap_t>, int (*)(void*)> set(::cap_init(), ::cap_free);
  if (!set) return fail_errno(errno, "capability sets");
  TRY(fill(set.get(), CAP_EFFECTIVE, masks.effective));
  TRY(fill(set.get(), CAP_PERMITTED, masks.permitted));
  TRY(fill(set.get(), CAP_INHERITABLE, masks.inheritable));
  if (::cap_set_proc(set.get()) != 0) return fail_errno(errno, "set the capability sets");
  return set_ambient(masks.ambient);
}

}  // namespace agentvm::guest
