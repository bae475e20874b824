// Which of a bundle's devices a guest has by itself. Pure.
#pragma once

#include "oci/spec.h"

namespace agentvm::runtime {

// Whether the guest's own kernel serves this device under the same numbers: the character devices
// every container has, /dev/fuse, /dev/net/tun and /dev/kmsg. Pipes ("p") need no device.
[[nodiscard]] bool guest_has_device(const oci::Device& device);

// Whether the device cgroup allows everything, as `docker run --privileged` does: such a spec names
// every device of the host without meaning any of them.
[[nodiscard]] bool allows_every_device(const oci::Spec& spec);

}  // namespace agentvm::runtime
