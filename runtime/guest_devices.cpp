#include "runtime/guest_devices.h"

#include <algorithm>
#include <array>

namespace agentvm::runtime {

namespace {

struct Numbers {
  std::int64_t major;
  std::int64_t minor;
};

// Documentation/admin-guide/devices.txt of Linux.
constexpr std::array kGuestCharacterDevices{
    Numbers{1, 3},     // null
    Numbers{1, 5},     // zero
    Numbers{1, 7},     // full
    Numbers{1, 8},     // random
    Numbers{1, 9},     // urandom
    Numbers{1, 11},    // kmsg: the guest's log
    Numbers{5, 0},     // tty
    Numbers{5, 1},     // console
    Numbers{5, 2},     // ptmx
    Numbers{10, 200},  // net/tun
    Numbers{10, 229},  // fuse
};

}  // namespace

bool guest_has_device(const oci::Device& device) {
  if (device.type == "p") return true;
  if (device.type != "c" && device.type != "u") return false;
  return std::ranges::any_of(kGuestCharacterDevices, [&](const Numbers& numbers) {
    return numbers.major == device.major && numbers.minor == device.minor;
  });
}

bool allows_every_device(const oci::Spec& spec) {
  if (!spec.linux_ || !spec.linux_->resources) return false;
  const auto& rules = spec.linux_->resources->devices;
  // The last word counts: a later rule that denies again makes it a list of exceptions.
  return !rules.empty() && rules.back().allow &&
         (rules.back().type.empty() || rules.back().type == "a") && !rules.back().major &&
         !rules.back().minor;
}

}  // namespace agentvm::runtime
