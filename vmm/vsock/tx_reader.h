// Takes packets from the tx queue (guest to host, virtio 1.2, 5.10.6.1).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "vmm/vsock/ring.h"
#include "vmm/vsock/virtio_vsock.h"

namespace agentvm::vmm::vsock {

class TxReader {
 public:
  enum class Outcome : std::uint8_t { packet, empty, broken };

  // The next packet. header(), payload() and payload_bytes() speak of it until the next call; the
  // buffer is the guest's again with finish().
  [[nodiscard]] Outcome take(const Rings& rings);
  [[nodiscard]] const PacketHeader& header() const { return header_; }
  // How many bytes came after the header, whatever header().len says.
  [[nodiscard]] std::uint64_t payload_bytes() const { return chain_.bytes - kHeaderSize; }
  // The first header().len bytes of the payload, in guest memory; for 0 < len <= payload_bytes().
  [[nodiscard]] std::span<const iovec> payload();
  void finish(const Rings& rings);

 private:
  PacketHeader header_;
  Chain chain_;
  std::array<iovec, kMaxSegments> payload_;
};

}  // namespace agentvm::vmm::vsock
