#include "vmm/vsock/guest_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "oci/base/try.h"

namespace agentvm::vmm::vsock {

namespace {

constexpr std::uint64_t kMaxAddress = std::numeric_limits<std::uint64_t>::max();

bool wraps(std::uint64_t start, std::uint64_t size) {
  return size > kMaxAddress - start;
}

Result<void> check_region(const MemoryRegion& region, std::size_t index) {
  const auto refuse = [index](std::string_view what) {
    return fail(ErrorKind::invalid_argument, fmt::format("memory region {} {}", index, what));
  };
  if (region.size == 0) return refuse("is empty");
  if (wraps(region.guest_address, region.size)) return refuse("wraps around guest addresses");
  if (wraps(region.user_address, region.size)) return refuse("wraps around user addresses");
  if (wraps(region.file_offset, region.size)) return refuse("wraps around its file");
  return {};
}

// Adjoining is fine; `earlier` starts first.
bool overlap(std::uint64_t earlier, std::uint64_t size, std::uint64_t later) {
  return later - earlier < size;
}

}  // namespace

GuestMemory& GuestMemory::operator=(GuestMemory&& other) noexcept {
  if (this != &other) {
    unmap();
    mapped_ = std::exchange(other.mapped_, {});
  }
  return *this;
}

GuestMemory::~GuestMemory() {
  unmap();
}

void GuestMemory::unmap() {
  for (const Mapped& one : mapped_) ::munmap(one.mapping, one.mapping_size);
  mapped_.clear();
}

Result<GuestMemory> GuestMemory::map(std::span<const MemoryRegion> regions,
                                     std::span<const UniqueFd> fds) {
  if (regions.size() > kMaxRegions || regions.size() != fds.size()) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("{} memory regions with {} files (at most {})", regions.size(),
                            fds.size(), kMaxRegions));
  }
  GuestMemory memory;
  memory.mapped_.reserve(regions.size());
  for (std::size_t i = 0; i < regions.size(); ++i) {
    const MemoryRegion& region = regions[i];
    TRY(check_region(region, i));
    struct stat file{};
    if (::fstat(fds[i].get(), &file) != 0) {
      return fail_errno(errno, fmt::format("stat the file of memory region {}", i));
    }
    if (file.st_size < 0 ||
        static_cast<std::uint64_t>(file.st_size) < region.file_offset + region.size) {
      return fail(ErrorKind::invalid_argument,
                  fmt::format("memory region {} is longer than its file", i));
    }
    // Huge page files want offset and length in their page size, which is their block size.
    const auto page = std::max<std::uint64_t>(4096, static_cast<std::uint64_t>(file.st_blksize));
    const std::uint64_t lead = region.file_offset % page;
    const std::uint64_t length = region.size + lead;
    void* const mapping =
        ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fds[i].get(),
               static_cast<off_t>(region.file_offset - lead));
    if (mapping == MAP_FAILED) return fail_errno(errno, fmt::format("map memory region {}", i));
    memory.mapped_.push_back({region, static_cast<std::byte*>(mapping) + lead, mapping, length});
    // A core dump of ours must not hold the guest's memory.
    ::madvise(mapping, length, MADV_DONTDUMP);
  }
  auto& mapped = memory.mapped_;
  std::ranges::sort(mapped, {}, [](const Mapped& one) { return one.region.guest_address; });
  for (std::size_t i = 1; i < mapped.size(); ++i) {
    const MemoryRegion& earlier = mapped[i - 1].region;
    if (overlap(earlier.guest_address, earlier.size, mapped[i].region.guest_address)) {
      return fail(ErrorKind::invalid_argument, "two memory regions overlap");
    }
  }
  return memory;
}

bool GuestMemory::translate(std::uint64_t address, std::uint64_t length, std::span<iovec> out,
                            std::size_t& count) const {
  while (length > 0) {
    const auto after = std::ranges::upper_bound(
        mapped_, address, {}, [](const Mapped& one) { return one.region.guest_address; });
    if (after == mapped_.begin()) return false;
    const Mapped& found = *std::prev(after);
    const std::uint64_t offset = address - found.region.guest_address;
    if (offset >= found.region.size || count == out.size()) return false;
    const std::uint64_t piece = std::min(length, found.region.size - offset);
    out[count++] = {found.base + offset, piece};
    length -= piece;
    if (length > 0 && wraps(address, piece)) return false;
    address += piece;
  }
  return true;
}

std::byte* GuestMemory::at_user_address(std::uint64_t user_address, std::uint64_t size,
                                        std::size_t alignment) const {
  for (const Mapped& one : mapped_) {
    if (user_address < one.region.user_address) continue;
    const std::uint64_t offset = user_address - one.region.user_address;
    if (offset >= one.region.size || one.region.size - offset < size) continue;
    std::byte* const at = one.base + offset;
    return reinterpret_cast<std::uintptr_t>(at) % alignment == 0 ? at : nullptr;
  }
  return nullptr;
}

}  // namespace agentvm::vmm::vsock
