// Rings full of anything: the walk ends, and what it hands out lies inside the guest's memory.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "vmm/vsock/segments.h"
#include "vmm/vsock/virtqueue.h"

using namespace agentvm;              // NOLINT(google-build-using-namespace)
using namespace agentvm::vmm::vsock;  // NOLINT(google-build-using-namespace)

namespace {

constexpr std::uint16_t kSize = 16;
constexpr std::uint64_t kRegion = 64U << 10;
constexpr std::uint64_t kHole = 0x1000;  // guest address of the first region

// Two adjoining regions and one apart, in one file.
const GuestMemory& memory() {
  static const GuestMemory mapped = [] {
    const UniqueFd file(::memfd_create("guest", MFD_CLOEXEC));
    if (::ftruncate(file.get(), 3 * kRegion) != 0) __builtin_trap();
    const std::array regions{
        MemoryRegion{.guest_address = kHole, .size = kRegion, .user_address = 0, .file_offset = 0},
        MemoryRegion{.guest_address = kHole + kRegion,
                     .size = kRegion,
                     .user_address = kRegion,
                     .file_offset = kRegion},
        MemoryRegion{.guest_address = 1ULL << 32,
                     .size = kRegion,
                     .user_address = 2 * kRegion,
                     .file_offset = 2 * kRegion}};
    std::vector<UniqueFd> fds;
    for (int i = 0; i < 3; ++i) fds.emplace_back(::dup(file.get()));
    auto result = GuestMemory::map(regions, fds);
    if (!result) __builtin_trap();
    return *std::move(result);
  }();
  return mapped;
}

bool is_guest_memory(const iovec& piece) {
  for (std::uint64_t user = 0; user < 3 * kRegion; user += kRegion) {
    const std::byte* const base = memory().at_user_address(user, kRegion, 1);
    const auto* const at = static_cast<const std::byte*>(piece.iov_base);
    if (at >= base && at + piece.iov_len <= base + kRegion) return true;
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4) return 0;
  std::byte* const base = memory().at_user_address(0, kRegion, 16);
  std::memset(base, 0, 4096);
  const bool event_index = (data[0] & 1) != 0;
  const auto direction = (data[0] & 2) != 0 ? Direction::device_reads : Direction::device_writes;
  const auto start = static_cast<std::uint16_t>(data[1] | data[2] << 8);
  std::memcpy(base, data + 3, std::min<std::size_t>(size - 3, 4096));
  Virtqueue queue({.descriptors = base, .available = base + 256, .used = base + 320}, kSize, start,
                  event_index, direction);
  Chain chain;
  for (int i = 0; i < 4 * kSize; ++i) {
    const auto taken = queue.take(memory(), chain);
    if (taken == Virtqueue::Take::broken) {
      if (queue.fault().empty()) __builtin_trap();
      break;
    }
    if (taken == Virtqueue::Take::empty) break;
    std::uint64_t bytes = 0;
    for (const iovec& piece : chain.segments()) {
      if (!is_guest_memory(piece)) __builtin_trap();
      bytes += piece.iov_len;
    }
    if (bytes != chain.bytes || chain.descriptors > kSize) __builtin_trap();
    std::array<std::byte, 44> header{};
    if (copy_front(chain.segments(), header) != (bytes >= header.size())) __builtin_trap();
    if (i % 3 == 2) {
      queue.give_back(1);
      (void)queue.take(memory(), chain);
    }
    queue.push_used(chain.head, static_cast<std::uint32_t>(bytes));
    if (i % 2 == 0) queue.publish();
    (void)queue.wants_interrupt();
  }
  (void)queue.expect_kick();
  queue.ignore_kicks();
  return 0;
}
