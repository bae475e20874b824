// The wire format of the virtio socket device: virtio 1.2, section 5.10. All fields little-endian.
// A header comes from the guest: decode_header() copies it once, and nothing in the copy is valid
// until connection.h and muxer.h have judged it.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace agentvm::vmm::vsock {

static_assert(std::endian::native == std::endian::little, "virtio 1 rings are little-endian");

inline constexpr std::uint64_t kHostCid = 2;

// Queues, 5.10.2. The event queue stays with QEMU; other front ends may hand it over.
inline constexpr std::uint32_t kRxQueue = 0;  // host to guest
inline constexpr std::uint32_t kTxQueue = 1;  // guest to host
inline constexpr std::uint32_t kEventQueue = 2;
inline constexpr std::uint32_t kQueueCount = 3;

// 5.10.6: what the op field says. Values past credit_request are the guest's invention.
enum class Op : std::uint16_t {
  invalid = 0,
  request = 1,
  response = 2,
  rst = 3,
  shutdown = 4,
  rw = 5,
  credit_update = 6,
  credit_request = 7,
};

inline constexpr std::uint16_t kTypeStream = 1;

// Flags of Op::shutdown, 5.10.6.6.1: what the sender of the packet will not do any more.
inline constexpr std::uint32_t kShutdownReceive = 1;
inline constexpr std::uint32_t kShutdownSend = 2;
inline constexpr std::uint32_t kShutdownBoth = kShutdownReceive | kShutdownSend;

struct PacketHeader {
  std::uint64_t src_cid = 0;
  std::uint64_t dst_cid = 0;
  std::uint32_t src_port = 0;
  std::uint32_t dst_port = 0;
  std::uint32_t len = 0;
  std::uint16_t type = kTypeStream;
  Op op = Op::invalid;
  std::uint32_t flags = 0;
  std::uint32_t buf_alloc = 0;
  std::uint32_t fwd_cnt = 0;

  friend bool operator==(const PacketHeader&, const PacketHeader&) = default;
};

inline constexpr std::size_t kHeaderSize = 44;
using HeaderBytes = std::array<std::byte, kHeaderSize>;

// Unknown ops become Op::invalid.
[[nodiscard]] inline PacketHeader decode_header(std::span<const std::byte, kHeaderSize> bytes) {
  PacketHeader header;
  const auto take = [&bytes](std::size_t offset, auto& field) {
    std::memcpy(&field, bytes.data() + offset, sizeof(field));
  };
  std::uint16_t op = 0;
  take(0, header.src_cid);
  take(8, header.dst_cid);
  take(16, header.src_port);
  take(20, header.dst_port);
  take(24, header.len);
  take(28, header.type);
  take(30, op);
  take(32, header.flags);
  take(36, header.buf_alloc);
  take(40, header.fwd_cnt);
  const bool known = op >= static_cast<std::uint16_t>(Op::request) &&
                     op <= static_cast<std::uint16_t>(Op::credit_request);
  header.op = known ? static_cast<Op>(op) : Op::invalid;
  return header;
}

[[nodiscard]] inline HeaderBytes encode_header(const PacketHeader& header) {
  HeaderBytes bytes{};
  const auto put = [&bytes](std::size_t offset, const auto& field) {
    std::memcpy(bytes.data() + offset, &field, sizeof(field));
  };
  put(0, header.src_cid);
  put(8, header.dst_cid);
  put(16, header.src_port);
  put(20, header.dst_port);
  put(24, header.len);
  put(28, header.type);
  put(30, header.op);
  put(32, header.flags);
  put(36, header.buf_alloc);
  put(40, header.fwd_cnt);
  return bytes;
}

}  // namespace agentvm::vmm::vsock
