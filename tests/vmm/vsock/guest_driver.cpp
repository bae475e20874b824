#include "tests/vmm/vsock/guest_driver.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <span>

namespace agentvm::vmm::vsock::testing {

namespace {

constexpr std::uint64_t kRxRing = kGuestBase;
constexpr std::uint64_t kTxRing = kGuestBase + (64U << 10);
// Offsets that are no round numbers: a header ends anywhere, one tx buffer lies across the border
// between the two regions.
constexpr std::uint64_t kRxBuffers = kGuestBase + (1U << 20) + 12;
constexpr std::uint64_t kTxBuffers = kGuestBase + (6U << 20) + 100;
constexpr std::uint64_t kRxStride = 8192;
constexpr std::uint64_t kTxStride = kTxBytes + 64;

constexpr std::uint32_t kNowhere = 4242;  // a port without anything

template <class T>
T load(const std::byte* at) {
  return __atomic_load_n(reinterpret_cast<const T*>(at), __ATOMIC_ACQUIRE);
}

template <class T>
void store(std::byte* at, T value) {
  __atomic_store_n(reinterpret_cast<T*>(at), value, __ATOMIC_RELEASE);
}

}  // namespace

DriverRing::DriverRing(FrontEnd& front_end, std::uint32_t index, std::uint64_t guest_address)
    : front_end_(front_end), index_(index), address_(guest_address) {}

std::byte* DriverRing::part(std::uint64_t offset) const {
  return front_end_.at(address_ + offset);
}

void DriverRing::clear() {
  std::memset(part(0), 0, used_offset(kQueueSize) + 6 + 8ULL * kQueueSize);
  available_ = kicked_ = seen_used_ = 0;
}

void DriverRing::set_descriptor(std::uint16_t index, const Descriptor& descriptor) {
  std::memcpy(part(16ULL * index), &descriptor, sizeof(descriptor));
}

void DriverRing::make_available(std::uint16_t head) {
  store(part(available_offset(kQueueSize) + 4 + 2ULL * (available_ % kQueueSize)), head);
  set_available_index(static_cast<std::uint16_t>(available_ + 1));
}

void DriverRing::set_available_index(std::uint16_t index) {
  available_ = index;
  store(part(available_offset(kQueueSize) + 2), available_);
}

bool DriverRing::kick_wanted(bool event_index) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const std::uint16_t before = kicked_;
  kicked_ = available_;
  if (!event_index) return (load<std::uint16_t>(part(used_offset(kQueueSize))) & 1) == 0;
  const auto wish = load<std::uint16_t>(part(used_offset(kQueueSize) + 4 + 8ULL * kQueueSize));
  return static_cast<std::uint16_t>(available_ - wish - 1) <
         static_cast<std::uint16_t>(available_ - before);
}

void DriverRing::want_interrupts(bool event_index) {
  if (event_index) {
    store(part(available_offset(kQueueSize) + 4 + 2ULL * kQueueSize), seen_used_);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

bool DriverRing::take_used(std::uint32_t& head, std::uint32_t& written) {
  const std::byte* const used = part(used_offset(kQueueSize));
  if (load<std::uint16_t>(used + 2) == seen_used_) return false;
  const std::byte* const element = used + 4 + 8ULL * (seen_used_ % kQueueSize);
  head = load<std::uint32_t>(element);
  written = load<std::uint32_t>(element + 4);
  ++seen_used_;
  return true;
}

void DriverRing::start(std::uint16_t base) {
  front_end_.start_ring(index_, kQueueSize, address_, base);
}

GuestDriver::GuestDriver(FrontEnd& front_end, bool event_index)
    : rx(front_end, kRxQueue, kRxRing),
      tx(front_end, kTxQueue, kTxRing),
      front_end_(front_end),
      event_index_(event_index) {}

void GuestDriver::start_without_buffers() {
  for (const DriverRing* const ring : {&rx, &tx}) (void)front_end_.stop_ring(ring->index());
  rx.clear();
  tx.clear();
  given_ = 0;
  free_tx_.clear();
  for (std::uint16_t slot = 0; slot < kSlots; ++slot) free_tx_.push_back(slot);
  for (DriverRing* const ring : {&rx, &tx}) {
    ring->start(0);
    front_end_.enable_ring(ring->index(), true);
  }
}

void GuestDriver::start() {
  start_without_buffers();
  give_buffers(kSlots);
}

void GuestDriver::give_buffers(std::uint16_t count) {
  for (; count > 0; --count) {
    const std::uint16_t slot = given_++ % kSlots;
    const auto head = static_cast<std::uint16_t>(2 * slot);
    const std::uint64_t at = kRxBuffers + slot * kRxStride;
    rx.set_descriptor(head, {.address = at,
                             .length = kHeaderSize,
                             .flags = kDescWrite | kDescNext,
                             .next = static_cast<std::uint16_t>(head + 1)});
    rx.set_descriptor(static_cast<std::uint16_t>(head + 1),
                      {.address = at + kHeaderSize, .length = kRxBytes, .flags = kDescWrite});
    rx.make_available(head);
  }
  kick_if_wanted(rx);
}

void GuestDriver::kick_if_wanted(DriverRing& ring) {
  if (ring.kick_wanted(event_index_)) front_end_.kick(ring.index());
}

void GuestDriver::reap_tx() {
  std::uint32_t head = 0;
  std::uint32_t written = 0;
  while (tx.take_used(head, written)) {
    EXPECT_EQ(written, 0U);
    free_tx_.push_back(static_cast<std::uint16_t>(head / 2));
  }
}

void GuestDriver::send(const PacketHeader& header, std::string_view payload) {
  for (reap_tx(); free_tx_.empty(); reap_tx()) {
    tx.want_interrupts(event_index_);
    reap_tx();
    if (free_tx_.empty()) {
      ASSERT_TRUE(front_end_.await_interrupt(kTxQueue)) << "the device takes no packets";
    }
  }
  const std::uint16_t slot = free_tx_.front();
  free_tx_.pop_front();
  const auto head = static_cast<std::uint16_t>(2 * slot);
  const std::uint64_t at = kTxBuffers + slot * kTxStride;
  const HeaderBytes bytes = encode_header(header);
  std::memcpy(front_end_.at(at), bytes.data(), bytes.size());
  std::ranges::copy(std::as_bytes(std::span(payload)), front_end_.at(at + kHeaderSize));
  tx.set_descriptor(head, {.address = at,
                           .length = kHeaderSize,
                           .flags = static_cast<std::uint16_t>(payload.empty() ? 0 : kDescNext),
                           .next = static_cast<std::uint16_t>(head + 1)});
  tx.set_descriptor(
      static_cast<std::uint16_t>(head + 1),
      {.address = at + kHeaderSize, .length = static_cast<std::uint32_t>(payload.size())});
  tx.make_available(head);
  kick_if_wanted(tx);
}

void GuestDriver::send(Op op, std::uint32_t guest_port, std::uint32_t host_port,
                       std::string_view payload, std::uint32_t flags) {
  send({.src_cid = kGuestCid,
        .dst_cid = kHostCid,
        .src_port = guest_port,
        .dst_port = host_port,
        .len = static_cast<std::uint32_t>(payload.size()),
        .op = op,
        .flags = flags,
        .buf_alloc = buf_alloc,
        .fwd_cnt = fwd_cnt},
       payload);
}

bool GuestDriver::has_packet() {
  std::uint32_t head = 0;
  std::uint32_t written = 0;
  DriverRing copy = rx;
  return copy.take_used(head, written);
}

Packet GuestDriver::receive() {
  std::uint32_t head = 0;
  std::uint32_t written = 0;
  while (!rx.take_used(head, written)) {
    rx.want_interrupts(event_index_);
    if (rx.take_used(head, written)) break;
    if (!front_end_.await_interrupt(kRxQueue)) return {};
  }
  const auto slot = static_cast<std::uint16_t>(head / 2);
  const std::byte* const at = front_end_.at(kRxBuffers + slot * kRxStride);
  HeaderBytes bytes{};
  std::memcpy(bytes.data(), at, bytes.size());
  Packet packet{.header = decode_header(bytes), .payload = {}};
  EXPECT_EQ(written, kHeaderSize + packet.header.len);
  EXPECT_LE(packet.header.len, kRxBytes);
  packet.payload.assign(reinterpret_cast<const char*>(at) + kHeaderSize,
                        std::min(packet.header.len, kRxBytes));
  EXPECT_EQ(packet.header.src_cid, kHostCid);
  EXPECT_EQ(packet.header.dst_cid, kGuestCid);
  if (gives_buffers_back) {
    rx.make_available(static_cast<std::uint16_t>(head));
    kick_if_wanted(rx);
  }
  return packet;
}

std::vector<Packet> GuestDriver::settle() {
  std::vector<Packet> before;
  // An RST overtakes the packets of connections: what was due before the first has come before the
  // second.
  for (int rounds = 0; rounds < 2; ++rounds) {
    send(Op::rw, kNowhere, kNowhere);
    for (;;) {
      Packet packet = receive();
      if (packet.header.op == Op::rst && packet.header.src_port == kNowhere) break;
      if (packet.header.op == Op::invalid) {
        ADD_FAILURE() << "the device does not answer";
        return before;
      }
      before.push_back(std::move(packet));
    }
  }
  return before;
}

}  // namespace agentvm::vmm::vsock::testing
