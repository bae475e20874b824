// Notices that something about a network namespace's interfaces, addresses or routes has changed.
#pragma once

#include "oci/base/async.h"
#include "runtime/network/netlink.h"

namespace agentvm::runtime {

class NetworkWatch {
 public:
  // Of the calling process's namespace, from now on.
  [[nodiscard]] static Result<NetworkWatch> open();

  // Ends a moment after a change: engines make several at once.
  [[nodiscard]] Task<void> wait_change();

 private:
  explicit NetworkWatch(NetlinkSocket socket) : socket_(std::move(socket)) {}
  void drain();
  NetlinkSocket socket_;
};

}  // namespace agentvm::runtime
