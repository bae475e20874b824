// A network card of a machine that runs: virtio-net on a tap of the host.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"
#include "vmm/qmp.h"

namespace agentvm::vmm {

struct Nic {
  unsigned slot = 0;  // vmm/slots.h
  std::string mac;    // 6 bytes
  std::uint32_t mtu = 1500;
  UniqueFd tap;  // with IFF_VNET_HDR
};

// All but the tap as one line, for a process that holds the machine for another, and back.
[[nodiscard]] std::string encode_nic(const Nic& nic);
[[nodiscard]] Result<Nic> decode_nic(const std::string& line);

// The guest sees it once it looks. On failure there is nothing of it.
[[nodiscard]] Task<void> plug_nic(Qmp& qmp, Nic nic, std::chrono::milliseconds timeout);

// Of a slot that the guest has turned off. A guest that has not keeps a card without a cable, and
// the slot. The tap is closed when this returns.
[[nodiscard]] Task<void> unplug_nic(Qmp& qmp, unsigned slot, std::chrono::milliseconds timeout);

}  // namespace agentvm::vmm
