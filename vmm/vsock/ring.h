// A running ring: the queue in guest memory and the eventfd that interrupts the guest.
#pragma once

#include <unistd.h>

#include <cstdint>

#include "vmm/vsock/virtqueue.h"

namespace agentvm::vmm::vsock {

struct Ring {
  Virtqueue queue;
  int call = -1;  // borrowed, non-blocking; -1: the guest polls

  // Shows the guest what was used and interrupts it if it wants that.
  void publish() {
    queue.publish();
    if (queue.wants_interrupt()) interrupt();
  }
  void interrupt() const {
    constexpr std::uint64_t kOne = 1;
    // EAGAIN: the counter is at its limit, so the guest is being interrupted as it is.
    if (call >= 0) (void)!::write(call, &kOne, sizeof(kOne));
  }
};

// What the device runs on; both rings run or there are none.
struct Rings {
  const GuestMemory* memory = nullptr;
  Ring* rx = nullptr;
  Ring* tx = nullptr;
};

}  // namespace agentvm::vmm::vsock
