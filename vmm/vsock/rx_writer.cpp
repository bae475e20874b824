#include "vmm/vsock/rx_writer.h"

#include <algorithm>
#include <span>

#include "vmm/vsock/segments.h"

namespace agentvm::vmm::vsock {

RxWriter::Outcome RxWriter::take(const Rings& rings, Chain& out) {
  switch (rings.rx->queue.take(*rings.memory, out)) {
    case Virtqueue::Take::chain:
      break;
    case Virtqueue::Take::empty:
      return Outcome::no_buffer;
    case Virtqueue::Take::broken:
      return Outcome::broken;
  }
  // A buffer without room for payload could be given again and again without any byte moving.
  if (out.bytes <= kHeaderSize) {
    rings.rx->queue.condemn("a receive buffer has no room for a packet");
    return Outcome::broken;
  }
  return Outcome::done;
}

void RxWriter::put(const Rings& rings, const Chain& buffer, const PacketHeader& header) {
  (void)overwrite_front(buffer.segments(), encode_header(header));  // take() saw the room
  rings.rx->queue.push_used(buffer.head, static_cast<std::uint32_t>(kHeaderSize) + header.len);
}

RxWriter::Outcome RxWriter::send(const Rings& rings, const PacketHeader& header) {
  Chain& buffer = buffers_.front();
  const Outcome taken = take(rings, buffer);
  if (taken == Outcome::done) put(rings, buffer, header);
  return taken;
}

RxWriter::Outcome RxWriter::send_due(const Rings& rings, Connection& protocol) {
  Chain& buffer = buffers_.front();
  const Outcome taken = take(rings, buffer);
  if (taken != Outcome::done) return taken;
  if (const auto header = protocol.next_control()) {
    put(rings, buffer, *header);
  } else {
    rings.rx->queue.give_back(1);
  }
  return Outcome::done;
}

RxWriter::Outcome RxWriter::move(const Rings& rings, Link& link) {
  const std::size_t credit = link.protocol.send_credit();
  if (credit == 0) return Outcome::no_credit;
  std::size_t buffers = 0;
  std::size_t pieces = 0;
  std::size_t wanted = 0;
  Outcome limit = Outcome::done;
  while (buffers < kTurnBuffers && wanted < credit && pieces + kMaxSegments <= kMaxPieces) {
    Chain& buffer = buffers_[buffers];
    limit = take(rings, buffer);
    if (limit != Outcome::done) break;
    room_[buffers] = cut(buffer.segments(), kHeaderSize, credit - wanted, pieces_, pieces);
    wanted += room_[buffers++];
  }
  if (limit == Outcome::broken) return limit;
  if (buffers == 0) return limit;

  const Link::Read read = link.read(std::span(pieces_).first(pieces));
  std::size_t left = read.count;
  std::size_t used = 0;
  for (; left > 0; ++used) {
    const std::size_t count = std::min(left, room_[used]);
    put(rings, buffers_[used], link.protocol.data_header(static_cast<std::uint32_t>(count)));
    left -= count;
  }
  rings.rx->queue.give_back(static_cast<std::uint16_t>(buffers - used));
  switch (read.kind) {
    case Link::Read::Kind::bytes:
      return link.may_have_input() ? Outcome::done : Outcome::no_input;
    case Link::Read::Kind::nothing_yet:
      return Outcome::no_input;
    case Link::Read::Kind::end:
      return Outcome::ended;
  }
  return Outcome::broken;
}

}  // namespace agentvm::vmm::vsock
