// Puts packets into the buffers of the rx queue (host to guest, virtio 1.2, 5.10.6.1).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "vmm/vsock/link.h"
#include "vmm/vsock/ring.h"
#include "vmm/vsock/virtio_vsock.h"

namespace agentvm::vmm::vsock {

class RxWriter {
 public:
  enum class Outcome : std::uint8_t {
    done,       // send: the packet is out; move: bytes went, more may be there
    no_buffer,  // the guest gave no buffer (any more); what was not sent is not lost
    no_input,   // move: the client has nothing for now
    no_credit,  // move: the guest has no room
    ended,      // move: the client finished sending
    broken,     // the ring is broken: rings.rx->queue.fault() says how
  };

  // A packet without payload.
  [[nodiscard]] Outcome send(const Rings& rings, const PacketHeader& header);
  // The next packet that is due on this connection; only with has_control().
  [[nodiscard]] Outcome send_due(const Rings& rings, Connection& protocol);

  // Up to one turn's bytes (kTurnBuffers buffers) from the client's socket straight into the
  // guest's buffers, one packet a buffer.
  [[nodiscard]] Outcome move(const Rings& rings, Link& link);

 private:
  // A link's turn: Linux gives buffers of 4 KiB, so this is 64 KiB with one readv(2).
  static constexpr std::size_t kTurnBuffers = 16;
  static constexpr std::size_t kMaxPieces = 1024;  // IOV_MAX

  [[nodiscard]] Outcome take(const Rings& rings, Chain& out);
  static void put(const Rings& rings, const Chain& buffer, const PacketHeader& header);

  std::array<Chain, kTurnBuffers> buffers_;
  std::array<std::size_t, kTurnBuffers> room_{};
  std::array<iovec, kMaxPieces> pieces_;
};

}  // namespace agentvm::vmm::vsock
