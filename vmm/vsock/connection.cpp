#include "vmm/vsock/connection.h"

#include <utility>

namespace agentvm::vmm::vsock {

Connection::Connection(Ports ports, std::uint64_t guest_cid, std::uint32_t window, State state)
    : ports_(ports), guest_cid_(guest_cid), state_(state), window_(window) {}

Connection Connection::make_outgoing(Ports ports, std::uint64_t guest_cid, std::uint32_t window) {
  Connection made(ports, guest_cid, window, State::requesting);
  made.due_ = bit(Due::request);
  return made;
}

Connection Connection::make_incoming(const PacketHeader& request, std::uint32_t window) {
  Connection made({.host = request.dst_port, .guest = request.src_port}, request.src_cid, window,
                  State::open);
  made.due_ = bit(Due::response);
  made.guest_window_ = request.buf_alloc;
  return made;
}

// Every packet carries the guest's credit. False when the guest claims to have forwarded bytes that
// were never sent.
bool Connection::take_credit(const PacketHeader& header) {
  const std::uint32_t outstanding = sent_ - guest_forwarded_;
  const std::uint32_t step = header.fwd_cnt - guest_forwarded_;
  constexpr std::uint32_t kHalf = 1U << 31;
  if (step > outstanding && step < kHalf) return false;
  // A step back is an older packet: Linux stamps and queues without one lock around both.
  if (step <= outstanding) guest_forwarded_ = header.fwd_cnt;
  guest_window_ = header.buf_alloc;
  if (sent_ - guest_forwarded_ < guest_window_) credit_requested_ = false;
  return true;
}

Reaction Connection::receive(const PacketHeader& header, std::uint64_t payload) {
  if (header.op == Op::rst) return Reaction::closed;
  if (!take_credit(header)) return Reaction::violation;
  switch (state_) {
    case State::requesting:
      return receive_requesting(header);
    case State::open:
      return receive_open(header, payload);
    case State::lingering: {
      const Reaction reaction = receive_open(header, payload);
      // Nobody is there to take it, and what was in flight is not the guest's fault.
      return reaction == Reaction::data ? Reaction::discard : reaction;
    }
  }
  return Reaction::violation;
}

Reaction Connection::receive_requesting(const PacketHeader& header) {
  switch (header.op) {
    case Op::response:
      if (!request_sent()) return Reaction::violation;
      state_ = State::open;
      return Reaction::established;
    case Op::credit_update:
    case Op::credit_request:
      return Reaction::none;
    case Op::rst:
      return Reaction::closed;
    case Op::invalid:
    case Op::request:
    case Op::shutdown:
    case Op::rw:
      return Reaction::violation;
  }
  return Reaction::violation;
}

Reaction Connection::receive_open(const PacketHeader& header, std::uint64_t payload) {
  switch (header.op) {
    case Op::rw:
      return receive_data(header, payload);
    case Op::shutdown:
      if ((header.flags & kShutdownBoth) == 0 || (header.flags & ~kShutdownBoth) != 0) {
        return Reaction::violation;
      }
      guest_shutdown_ |= header.flags;
      return Reaction::shutdown;
    case Op::credit_request:
      due_ |= bit(Due::credit_update);
      return Reaction::none;
    case Op::credit_update:
      return Reaction::none;
    case Op::rst:
      return Reaction::closed;
    case Op::invalid:
    case Op::request:
    case Op::response:
      return Reaction::violation;
  }
  return Reaction::violation;
}

Reaction Connection::receive_data(const PacketHeader& header, std::uint64_t payload) {
  if ((guest_shutdown_ & kShutdownSend) != 0) return Reaction::violation;
  if (header.len > payload) return Reaction::violation;
  if (header.len > window_ - (received_ - forwarded_)) return Reaction::violation;
  received_ += header.len;
  return (client_shutdown_ & kShutdownReceive) != 0 ? Reaction::discard : Reaction::data;
}

void Connection::consumed(std::uint32_t count) {
  forwarded_ += count;
  // Half a window at a time: an update costs the guest an interrupt. A guest that waits for credit
  // has a whole window outstanding, so half of it comes back in any case.
  if (forwarded_ - told_forwarded_ >= window_ / 2 && (guest_shutdown_ & kShutdownSend) == 0 &&
      state_ == State::open) {
    due_ |= bit(Due::credit_update);
  }
}

void Connection::tell_shutdown(std::uint32_t flags) {
  if ((client_shutdown_ | flags) == client_shutdown_) return;
  client_shutdown_ |= flags;
  due_ |= bit(Due::shutdown);
}

void Connection::client_finished() {
  tell_shutdown(kShutdownSend);
}

void Connection::client_stopped_reading() {
  tell_shutdown(kShutdownReceive);
}

void Connection::client_gone() {
  tell_shutdown(kShutdownBoth);
  state_ = State::lingering;
}

std::optional<PacketHeader> Connection::next_control() {
  const auto take = [this](Due due) {
    const bool is_due = (due_ & bit(due)) != 0;
    due_ = static_cast<std::uint8_t>(due_ & ~bit(due));
    return is_due;
  };
  if (take(Due::request)) return stamped(Op::request);
  if (take(Due::response)) return stamped(Op::response);
  if (take(Due::credit_request)) return stamped(Op::credit_request);
  if (take(Due::credit_update)) return stamped(Op::credit_update);
  if (take(Due::shutdown)) {
    PacketHeader header = stamped(Op::shutdown);
    header.flags = client_shutdown_;
    return header;
  }
  return std::nullopt;
}

std::uint32_t Connection::send_credit() {
  if (state_ != State::open || (guest_shutdown_ & kShutdownReceive) != 0) return 0;
  const std::uint32_t outstanding = sent_ - guest_forwarded_;
  if (outstanding < guest_window_) return guest_window_ - outstanding;
  if (!std::exchange(credit_requested_, true)) due_ |= bit(Due::credit_request);
  return 0;
}

PacketHeader Connection::data_header(std::uint32_t length) {
  PacketHeader header = stamped(Op::rw);
  header.len = length;
  sent_ += length;
  return header;
}

PacketHeader Connection::reset_header() {
  due_ = 0;
  return stamped(Op::rst);
}

PacketHeader Connection::stamped(Op op) {
  // Any packet is a credit update.
  due_ = static_cast<std::uint8_t>(due_ & ~bit(Due::credit_update));
  told_forwarded_ = forwarded_;
  return {.src_cid = kHostCid,
          .dst_cid = guest_cid_,
          .src_port = ports_.host,
          .dst_port = ports_.guest,
          .op = op,
          .buf_alloc = window_,
          .fwd_cnt = forwarded_};
}

}  // namespace agentvm::vmm::vsock
