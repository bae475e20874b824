#include "vmm/vsock/tx_reader.h"

#include "vmm/vsock/segments.h"

namespace agentvm::vmm::vsock {

TxReader::Outcome TxReader::take(const Rings& rings) {
  switch (rings.tx->queue.take(*rings.memory, chain_)) {
    case Virtqueue::Take::chain:
      break;
    case Virtqueue::Take::empty:
      return Outcome::empty;
    case Virtqueue::Take::broken:
      return Outcome::broken;
  }
  HeaderBytes bytes{};
  if (!copy_front(chain_.segments(), bytes)) {
    rings.tx->queue.condemn("a transmit buffer is shorter than a packet header");
    return Outcome::broken;
  }
  header_ = decode_header(bytes);
  return Outcome::packet;
}

std::span<const iovec> TxReader::payload() {
  std::size_t count = 0;
  cut(chain_.segments(), kHeaderSize, header_.len, payload_, count);
  return std::span(payload_).first(count);
}

void TxReader::finish(const Rings& rings) {
  rings.tx->queue.push_used(chain_.head, 0);
}

}  // namespace agentvm::vmm::vsock
