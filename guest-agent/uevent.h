// The kernel's announcements of devices (netlink, NETLINK_KOBJECT_UEVENT): what to wait on for a
// disk, a vsock transport or a file system share that is plugged while the guest runs. An event is
// only a reason to look again; what is there is found by looking.
#pragma once

#include <chrono>
#include <string>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"

namespace agentvm::guest {

class UeventSocket {
 public:
  // Events from now on are kept by the kernel: look for the device after this, then wait.
  static Result<UeventSocket> open();

  // Ends when something happened to any device; unavailable when `limit` passes first.
  [[nodiscard]] Task<void> wait(std::chrono::steady_clock::time_point limit) const;

 private:
  explicit UeventSocket(UniqueFd socket) : socket_(std::move(socket)) {}

  UniqueFd socket_;
};

// Ends when the block device `path` can be opened. Besides a node in /dev, `path` may be
// "/dev/disk/by-id/virtio-<serial>": there is no udev here, so that is looked up in sysfs. Returns
// the node's path; unavailable after `patience`.
[[nodiscard]] Task<std::string> wait_for_block_device(std::string path,
                                                      std::chrono::milliseconds patience);

}  // namespace agentvm::guest
