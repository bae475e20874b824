// The devices that the backends serve, the same for QEMU's command line (a machine that boots) and
// for QMP (one that is restored).
#pragma once

#include <string>

#include "vmm/qmp.h"

namespace agentvm::vmm {

[[nodiscard]] QmpDevice vsock_device();
[[nodiscard]] QmpDevice shared_device();

// The argument of -device.
[[nodiscard]] std::string device_argument(const QmpDevice& device);

}  // namespace agentvm::vmm
