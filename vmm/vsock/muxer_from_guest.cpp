// The muxer's half that takes packets from the guest.
#include <fmt/format.h>

#include <utility>

#include "vmm/vsock/muxer.h"
#include "vmm/vsock/service_socket.h"

namespace agentvm::vmm::vsock {

namespace {

constexpr int kPacketsPerRun = 128;

}  // namespace

Muxer::Turn Muxer::serve_guest() {
  Ring& ring = *rings_.tx;
  ring.queue.ignore_kicks();
  for (int packets = 0; packets < kPacketsPerRun; ++packets) {
    // serve_clients() runs next: it takes resets off the list, or waits for the rx ring's kick.
    if (resets_.size() >= kMaxResets) {
      ring.publish();
      tx_is_blocked_ = true;
      return Turn::idle;
    }
    switch (reader_.take(rings_)) {
      case TxReader::Outcome::packet:
        handle_packet();
        reader_.finish(rings_);
        break;
      case TxReader::Outcome::empty:
        ring.publish();
        if (ring.queue.expect_kick()) break;
        return Turn::idle;
      case TxReader::Outcome::broken:
        return Turn::broken;
    }
  }
  ring.publish();
  return Turn::unfinished;
}

void Muxer::handle_packet() {
  const PacketHeader& header = reader_.header();
  // A forged sender: whom to answer?
  if (header.src_cid != guest_cid_) return;
  if (header.dst_cid != kHostCid || header.type != kTypeStream) return answer_reset(header);
  Link* const found = table_.find({.host = header.dst_port, .guest = header.src_port});
  if (found == nullptr) {
    return header.op == Op::request ? accept(header) : answer_reset(header);
  }
  const LinkRef link = found->shared_from_this();
  react(*link, link->protocol.receive(header, reader_.payload_bytes()));
  if (link->is_removed || link->is_forgotten) return;
  if (link->protocol.has_control() || link->may_have_input()) queue(*link);
}

void Muxer::react(Link& link, Reaction reaction) {
  switch (reaction) {
    case Reaction::none:
      return;
    case Reaction::established:
      if (!link.send_line(fmt::format("OK {}\n", link.protocol.ports().host))) return reset(link);
      return link.await_readable();
    case Reaction::data:
      return deliver(link);
    case Reaction::discard:
      return link.protocol.consumed(reader_.header().len);
    case Reaction::shutdown:
      if ((link.protocol.guest_shutdown() & kShutdownReceive) != 0) {
        link.stop_reading();
        link.await_hangup();
      }
      return settle(link);
    case Reaction::closed:
      return guest_closed(link);
    case Reaction::violation:
      return reset(link);
  }
}

void Muxer::accept(const PacketHeader& request) {
  if (!make_room()) return answer_reset(request);
  auto socket = connect_service(request.dst_port);
  if (!socket) return answer_reset(request);
  auto link = std::make_shared<Link>(io_.get_executor(), *std::move(socket),
                                     Connection::make_incoming(request, table_.next_window()),
                                     static_cast<LinkOwner&>(*this));
  table_.insert(link);
  link->await_readable();
  queue(*link);
}

void Muxer::answer_reset(const PacketHeader& to) {
  if (to.op == Op::rst) return;
  resets_.push_back({.src_cid = to.dst_cid,
                     .dst_cid = to.src_cid,
                     .src_port = to.dst_port,
                     .dst_port = to.src_port,
                     .type = to.type,
                     .op = Op::rst});
  schedule();
}

void Muxer::deliver(Link& link) {
  if (reader_.header().len == 0) return;
  if (link.deliver(reader_.payload()) == Link::Delivery::nobody_reads) {
    link.protocol.consumed(reader_.header().len);
    return client_stopped_reading(link);
  }
  if (link.has_backlog()) link.await_writable();
}

void Muxer::on_writable(Link& link) {
  if (link.is_removed) return;
  if (link.flush() == Link::Delivery::nobody_reads) return client_stopped_reading(link);
  settle(link);
  if (link.protocol.has_control()) queue(link);
}

// What the guest asked for after its last byte is done once that byte is out.
void Muxer::settle(Link& link) {
  if (link.has_backlog()) return link.await_writable();
  if (link.is_forgotten) return remove(link);
  const std::uint32_t ended = link.protocol.guest_shutdown();
  if (ended == kShutdownBoth) return reset(link);
  if ((ended & kShutdownSend) != 0) link.end_writing();
}

void Muxer::client_stopped_reading(Link& link) {
  link.drop_backlog();
  link.protocol.client_stopped_reading();
  settle(link);
  queue(link);
}

void Muxer::guest_closed(Link& link) {
  if (!link.has_backlog()) return remove(link);
  link.stop_reading();
  link.is_forgotten = true;
  table_.forget(link);
}

}  // namespace agentvm::vmm::vsock
