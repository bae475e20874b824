#include "vmm/vsock/virtqueue.h"

#include <atomic>

namespace agentvm::vmm::vsock {

namespace {

// Descriptor flags, 2.7.5.
constexpr std::uint16_t kNext = 1;
constexpr std::uint16_t kWrite = 2;
constexpr std::uint16_t kIndirect = 4;
// available->flags and used->flags, 2.7.6 and 2.7.8.
constexpr std::uint16_t kNoInterrupt = 1;
constexpr std::uint16_t kNoNotify = 1;

constexpr std::size_t kRingOffset = 4;  // after flags and idx
constexpr std::size_t kIndexOffset = 2;

// The guest writes these words while we look: an atomic access is made exactly once.
template <class T>
T load(const std::byte* at, int order = __ATOMIC_RELAXED) {
  return __atomic_load_n(reinterpret_cast<const T*>(at), order);
}

template <class T>
void store(std::byte* at, T value, int order = __ATOMIC_RELAXED) {
  __atomic_store_n(reinterpret_cast<T*>(at), value, order);
}

}  // namespace

Virtqueue::Virtqueue(RingParts parts, std::uint16_t size, std::uint16_t next_available,
                     bool event_index, Direction direction)
    : parts_(parts),
      size_(size),
      next_available_(next_available),
      seen_available_(next_available),
      // A guest that lies here harms its own ring only: the index is used modulo the size.
      next_used_(load<std::uint16_t>(parts.used + kIndexOffset)),
      signalled_used_(next_used_),
      event_index_(event_index),
      direction_(direction) {}

Virtqueue::Take Virtqueue::broken(std::string_view why) {
  fault_ = why;
  return Take::broken;
}

Virtqueue::Take Virtqueue::take(const GuestMemory& memory, Chain& out) {
  if (!fault_.empty()) return Take::broken;
  if (next_available_ == seen_available_) {
    seen_available_ = load<std::uint16_t>(parts_.available + kIndexOffset, __ATOMIC_ACQUIRE);
    if (next_available_ == seen_available_) return Take::empty;
  }
  if (static_cast<std::uint16_t>(seen_available_ - next_available_) > size_) {
    return broken("the available index runs ahead by more than the queue's size");
  }
  out.head = load<std::uint16_t>(parts_.available + kRingOffset +
                                 std::size_t{2} * (next_available_ % size_));
  const Take taken = walk(memory, out);
  if (taken == Take::chain) ++next_available_;
  return taken;
}

Virtqueue::Take Virtqueue::walk(const GuestMemory& memory, Chain& out) {
  out.count = 0;
  out.bytes = 0;
  std::uint16_t index = out.head;
  for (out.descriptors = 1;; ++out.descriptors) {
    if (out.descriptors > size_) return broken("a descriptor chain is a loop");
    if (index >= size_) return broken("a descriptor index is outside the table");
    const std::byte* const descriptor = parts_.descriptors + std::size_t{16} * index;
    const auto address = load<std::uint64_t>(descriptor);
    const auto length = load<std::uint32_t>(descriptor + 8);
    const auto flags = load<std::uint16_t>(descriptor + 12);
    const auto next = load<std::uint16_t>(descriptor + 14);
    if ((flags & kIndirect) != 0) return broken("an indirect descriptor, which was not negotiated");
    if (((flags & kWrite) != 0) != (direction_ == Direction::device_writes)) {
      return broken(direction_ == Direction::device_writes ? "a receive buffer is read-only"
                                                           : "a transmit buffer is write-only");
    }
    if (!memory.translate(address, length, out.pieces, out.count)) {
      return broken("a buffer is outside the guest's memory or in too many pieces");
    }
    out.bytes += length;
    if ((flags & kNext) == 0) return Take::chain;
    index = next;
  }
}

void Virtqueue::push_used(std::uint16_t head, std::uint32_t written) {
  std::byte* const element = parts_.used + kRingOffset + std::size_t{8} * (next_used_ % size_);
  store<std::uint32_t>(element, head);
  store<std::uint32_t>(element + 4, written);
  ++next_used_;
}

void Virtqueue::publish() {
  store<std::uint16_t>(parts_.used + kIndexOffset, next_used_, __ATOMIC_RELEASE);
}

bool Virtqueue::wants_interrupt() {
  const std::uint16_t before = signalled_used_;
  if (before == next_used_) return false;
  signalled_used_ = next_used_;
  // The guest writes its wish, then looks at our index; we the other way round.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!event_index_) return (load<std::uint16_t>(parts_.available) & kNoInterrupt) == 0;
  const auto wish = load<std::uint16_t>(parts_.available + kRingOffset + std::size_t{2} * size_);
  return static_cast<std::uint16_t>(next_used_ - wish - 1) <
         static_cast<std::uint16_t>(next_used_ - before);
}

bool Virtqueue::expect_kick() {
  if (event_index_) {
    store<std::uint16_t>(parts_.used + kRingOffset + std::size_t{8} * size_, next_available_);
  } else {
    store<std::uint16_t>(parts_.used, 0);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return load<std::uint16_t>(parts_.available + kIndexOffset) != next_available_;
}

void Virtqueue::ignore_kicks() {
  // With event_index an old wish is as good as none.
  if (!event_index_) store<std::uint16_t>(parts_.used, kNoNotify);
}

}  // namespace agentvm::vmm::vsock
