// Plays the guest's virtio_vsock driver: real rings in shared memory, laid out as Linux does it
// (rx: a header and a 4 KiB buffer; tx: a header and up to 64 KiB).
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "tests/vmm/vsock/front_end.h"
#include "vmm/vsock/virtio_vsock.h"

namespace agentvm::vmm::vsock::testing {

inline constexpr std::uint64_t kGuestCid = 3;
inline constexpr std::uint16_t kQueueSize = 128;
inline constexpr std::uint16_t kSlots = kQueueSize / 2;
inline constexpr std::uint32_t kRxBytes = 4096;
inline constexpr std::uint32_t kTxBytes = 64U << 10;

struct Descriptor {
  std::uint64_t address = 0;
  std::uint32_t length = 0;
  std::uint16_t flags = 0;
  std::uint16_t next = 0;
};
inline constexpr std::uint16_t kDescNext = 1;
inline constexpr std::uint16_t kDescWrite = 2;
inline constexpr std::uint16_t kDescIndirect = 4;

struct Packet {
  PacketHeader header;
  std::string payload;
};

// One ring as its driver writes it.
class DriverRing {
 public:
  DriverRing(FrontEnd& front_end, std::uint32_t index, std::uint64_t guest_address);

  void clear();
  void set_descriptor(std::uint16_t index, const Descriptor& descriptor);
  void make_available(std::uint16_t head);
  void set_available_index(std::uint16_t index);
  // Whether the device asks for a kick after what was made available since the last call.
  [[nodiscard]] bool kick_wanted(bool event_index);
  void want_interrupts(bool event_index);
  [[nodiscard]] bool take_used(std::uint32_t& head, std::uint32_t& written);
  void start(std::uint16_t base);
  [[nodiscard]] std::uint32_t index() const { return index_; }
  [[nodiscard]] std::uint16_t seen_used() const { return seen_used_; }

 private:
  [[nodiscard]] std::byte* part(std::uint64_t offset) const;

  FrontEnd& front_end_;
  std::uint32_t index_;
  std::uint64_t address_;
  std::uint16_t available_ = 0;
  std::uint16_t kicked_ = 0;
  std::uint16_t seen_used_ = 0;
};

class GuestDriver {
 public:
  explicit GuestDriver(FrontEnd& front_end, bool event_index = true);

  // Resets the device, sets both rings up from nothing and gives all receive buffers.
  void start();
  // As start(), but without receive buffers.
  void start_without_buffers();
  void give_buffers(std::uint16_t count);

  void send(const PacketHeader& header, std::string_view payload = {});
  // A packet on the connection of these ports; cids and credit are filled in.
  void send(Op op, std::uint32_t guest_port, std::uint32_t host_port, std::string_view payload = {},
            std::uint32_t flags = 0);
  // The next packet, or one with op invalid when none comes.
  [[nodiscard]] Packet receive();
  [[nodiscard]] bool has_packet();

  // Everything sent so far was handled and everything it caused has arrived: sends a packet to a
  // port where nothing is and returns what came before its RST.
  [[nodiscard]] std::vector<Packet> settle();

  std::uint32_t buf_alloc = 256U << 10;  // for the packets send(Op…) makes
  std::uint32_t fwd_cnt = 0;
  bool gives_buffers_back = true;  // received buffers go back to the device at once

  DriverRing rx;
  DriverRing tx;

 private:
  void give_buffer(std::uint16_t slot);
  void kick_if_wanted(DriverRing& ring);
  void reap_tx();

  FrontEnd& front_end_;
  bool event_index_;
  std::uint16_t given_ = 0;
  std::deque<std::uint16_t> free_tx_;
};

}  // namespace agentvm::vmm::vsock::testing
