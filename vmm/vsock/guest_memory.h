// The guest's memory as QEMU shares it: a few mapped regions, and the only way from an address that
// the guest (or QEMU) names to a pointer. Regions are checked when mapped: no overlap, no
// wrap-around, none longer than its file (else a touch would be SIGBUS).
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"

namespace agentvm::vmm::vsock {

// vhost-user: "Memory region description".
struct MemoryRegion {
  std::uint64_t guest_address = 0;
  std::uint64_t size = 0;
  std::uint64_t user_address = 0;  // in QEMU's address space: ring addresses are given in these
  std::uint64_t file_offset = 0;

  friend bool operator==(const MemoryRegion&, const MemoryRegion&) = default;
};

inline constexpr std::size_t kMaxRegions = 8;  // vhost-user without CONFIGURE_MEM_SLOTS

class GuestMemory {
 public:
  // Without regions: every translation fails.
  GuestMemory() = default;
  GuestMemory(GuestMemory&&) noexcept = default;
  GuestMemory& operator=(GuestMemory&& other) noexcept;
  ~GuestMemory();

  // One fd per region. invalid_argument, naming the region, for a table that cannot be right.
  static Result<GuestMemory> map(std::span<const MemoryRegion> regions,
                                 std::span<const UniqueFd> fds);

  // Appends the pieces of host memory behind [address, address + length) to `out`, at `count`; more
  // than one when the range runs over adjoining regions. False when any byte of it is no guest
  // memory or `out` is full. A length of 0 appends nothing.
  [[nodiscard]] bool translate(std::uint64_t address, std::uint64_t length, std::span<iovec> out,
                               std::size_t& count) const;

  // Host memory behind `size` bytes at QEMU's `user_address`, in one region and aligned to
  // `alignment`; nullptr when there is none.
  [[nodiscard]] std::byte* at_user_address(std::uint64_t user_address, std::uint64_t size,
                                           std::size_t alignment) const;

  [[nodiscard]] bool empty() const { return mapped_.empty(); }

 private:
  struct Mapped {
    MemoryRegion region;
    std::byte* base = nullptr;  // of the region
    void* mapping = nullptr;    // what mmap gave
    std::size_t mapping_size = 0;
  };

  void unmap();

  std::vector<Mapped> mapped_;  // by guest address
};

}  // namespace agentvm::vmm::vsock
