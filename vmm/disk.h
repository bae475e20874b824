// A container's disk in a machine that runs: virtio-blk on a file of the host.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"
#include "vmm/qmp.h"

namespace agentvm::vmm {

struct Disk {
  // A raw image, open for reading and writing; QEMU, which may open no file, gets a duplicate. What
  // the guest discards, and zeros that it writes, become holes.
  UniqueFd image;
  // Called once, with a sentence, when the host first fails to read or write it; may be empty. The
  // guest gets the error too, as that of a disk that is broken: nothing waits for somebody to mend
  // it.
  std::function<void(std::string)> failed = {};
};

// In slot kDiskSlot (vmm/slots.h); the guest sees it once it looks. Once per machine. On failure
// the guest has none.
[[nodiscard]] Task<void> plug_disk(Qmp& qmp, Disk disk, std::chrono::milliseconds timeout);

}  // namespace agentvm::vmm
