// One split virtqueue (virtio 1.2, section 2.7) as the device sees it. Everything in it is written
// by the guest, at any time: each field is loaded once into a local, checked, and used from there.
// A ring that breaks the rules is broken for good; the owner reports fault() and stops.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "vmm/vsock/guest_memory.h"

namespace agentvm::vmm::vsock {

inline constexpr std::uint16_t kMaxQueueSize = 1024;
// Pieces of host memory one descriptor chain may have. QEMU's queues have 128 descriptors; Linux
// uses at most 19 in a chain.
inline constexpr std::size_t kMaxSegments = 160;

// One buffer the guest gave: chain.segments()[…] are host memory, all inside the guest's RAM.
struct Chain {
  std::uint16_t head = 0;
  std::uint16_t descriptors = 0;
  std::size_t count = 0;
  std::uint64_t bytes = 0;
  std::array<iovec, kMaxSegments> pieces;  // the first `count` are set

  [[nodiscard]] std::span<const iovec> segments() const { return {pieces.data(), count}; }
};

// Host pointers to a ring's three parts, from GuestMemory::at_user_address().
struct RingParts {
  std::byte* descriptors = nullptr;
  std::byte* available = nullptr;
  std::byte* used = nullptr;
};

// Sizes and alignments of the parts, 2.7 table.
[[nodiscard]] constexpr std::uint64_t descriptors_size(std::uint16_t n) {
  return 16ULL * n;
}
[[nodiscard]] constexpr std::uint64_t available_size(std::uint16_t n) {
  return 6 + 2ULL * n;
}
[[nodiscard]] constexpr std::uint64_t used_size(std::uint16_t n) {
  return 6 + 8ULL * n;
}
inline constexpr std::size_t kDescriptorsAlignment = 16;
inline constexpr std::size_t kAvailableAlignment = 2;
inline constexpr std::size_t kUsedAlignment = 4;

// Which way the ring's buffers go. A descriptor that goes the other way is a fault.
enum class Direction : std::uint8_t { device_reads, device_writes };

class Virtqueue {
 public:
  enum class Take : std::uint8_t { chain, empty, broken };

  // `size` is a power of two up to kMaxQueueSize; `next_available` as in SET_VRING_BASE.
  Virtqueue(RingParts parts, std::uint16_t size, std::uint16_t next_available, bool event_index,
            Direction direction);

  // The next buffer the guest made available.
  [[nodiscard]] Take take(const GuestMemory& memory, Chain& out);
  // Puts the last `count` taken chains back: they were not used.
  void give_back(std::uint16_t count) { next_available_ -= count; }

  // Returns a buffer to the guest with `written` bytes in it. Seen by the guest after publish().
  void push_used(std::uint16_t head, std::uint32_t written);
  void publish();
  // Whether the guest wants to be interrupted for what was published since the last time it was
  // asked for. 2.7.7.
  [[nodiscard]] bool wants_interrupt();

  // Asks for a kick at the next available buffer; true when there is one already, in which case no
  // kick may come. Without it the guest is told not to kick.
  [[nodiscard]] bool expect_kick();
  void ignore_kicks();

  // For GET_VRING_BASE.
  [[nodiscard]] std::uint16_t next_available() const { return next_available_; }
  [[nodiscard]] std::uint16_t size() const { return size_; }
  // What the guest did wrong; empty while the ring is sound.
  [[nodiscard]] std::string_view fault() const { return fault_; }
  // For faults that only the reader of the buffers can see. `why` is a literal.
  void condemn(std::string_view why) { fault_ = why; }

 private:
  [[nodiscard]] Take broken(std::string_view why);
  [[nodiscard]] Take walk(const GuestMemory& memory, Chain& out);

  RingParts parts_;
  std::uint16_t size_;
  std::uint16_t next_available_;
  std::uint16_t seen_available_;  // the guest's index when we looked last
  std::uint16_t next_used_;
  std::uint16_t signalled_used_;  // next_used_ when wants_interrupt() was asked last
  bool event_index_;
  Direction direction_;
  std::string_view fault_;
};

}  // namespace agentvm::vmm::vsock
