// Lists of memory pieces (iovec): reading a header off the front, writing one there, cutting out
// the payload. Where the guest put its descriptor borders is its own affair (virtio 1.2, 2.7.4.2).
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <span>

namespace agentvm::vmm::vsock {

// Fills `out` from the first bytes of `from`; false when there are fewer. The source may be guest
// memory: it is read once and never again on behalf of `out`.
[[nodiscard]] bool copy_front(std::span<const iovec> from, std::span<std::byte> out);

// Writes `bytes` over the first bytes of `to`; false, with nothing promised about `to`, when there
// is less room.
[[nodiscard]] bool overwrite_front(std::span<const iovec> to, std::span<const std::byte> bytes);

// Appends the pieces of bytes [skip, skip + length) of `from` to `out` at `count`, until `from` or
// `out` ends. Returns how many bytes they cover.
std::size_t cut(std::span<const iovec> from, std::size_t skip, std::size_t length,
                std::span<iovec> out, std::size_t& count);

}  // namespace agentvm::vmm::vsock
