// Plays QEMU: speaks vhost-user to the back end over memory of its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "oci/base/unique_fd.h"
#include "vmm/vsock/vhost_user_protocol.h"

namespace agentvm::vmm::vsock::testing {

// The guest's memory: one file, shown as two adjoining regions, so that buffers can lie across.
inline constexpr std::uint64_t kGuestBase = 0x100000;
inline constexpr std::uint64_t kUserBase = 0x7f0000000000;
inline constexpr std::uint64_t kRegionSize = 8U << 20;
inline constexpr std::uint64_t kMemorySize = 2 * kRegionSize;

class FrontEnd {
 public:
  explicit FrontEnd(UniqueFd socket);
  FrontEnd(const FrontEnd&) = delete;
  FrontEnd& operator=(const FrontEnd&) = delete;
  ~FrontEnd();

  // ---- messages
  void send(Request request, std::span<const std::byte> payload, std::span<const int> fds = {},
            bool need_reply = false);
  void send_raw(std::span<const std::byte> bytes, std::span<const int> fds = {});
  // The payload of the next reply; empty optional when the back end closed the socket.
  [[nodiscard]] std::optional<std::vector<std::byte>> receive_reply(Request expected);
  [[nodiscard]] std::uint64_t ask_u64(Request request);
  // Sends with need_reply and returns the acknowledged value, 0 for success.
  [[nodiscard]] std::uint64_t acknowledged(Request request, std::span<const std::byte> payload,
                                           std::span<const int> fds = {});

  // ---- what QEMU does
  void negotiate(bool event_index = true);
  void share_memory();
  // The message for `regions`, all in this memory's file.
  [[nodiscard]] std::uint64_t set_memory(const std::vector<MemoryRegion>& regions);
  void start_ring(std::uint32_t index, std::uint16_t size, std::uint64_t guest_address,
                  std::uint16_t base);
  void enable_ring(std::uint32_t index, bool enabled);
  // GET_VRING_BASE.
  [[nodiscard]] std::uint16_t stop_ring(std::uint32_t index);

  // ---- memory and interrupts
  [[nodiscard]] std::byte* at(std::uint64_t guest_address) const {
    return memory_ + (guest_address - kGuestBase);
  }
  [[nodiscard]] int memory_fd() const { return memory_fd_.get(); }
  void kick(std::uint32_t index) const;
  // Waits for an interrupt of ring `index`; false after a long while.
  [[nodiscard]] bool await_interrupt(std::uint32_t index) const;
  [[nodiscard]] bool take_interrupt(std::uint32_t index) const;
  [[nodiscard]] bool take_error(std::uint32_t index) const;
  void hang_up() { socket_.reset(); }

 private:
  struct Files {
    UniqueFd kick;
    UniqueFd call;
    UniqueFd error;
  };

  UniqueFd socket_;
  UniqueFd memory_fd_;
  std::byte* memory_ = nullptr;
  std::array<Files, 2> files_;
};

// The offsets of a ring's parts from its start, for `size` descriptors.
[[nodiscard]] constexpr std::uint64_t available_offset(std::uint16_t size) {
  return 16ULL * size;
}
[[nodiscard]] constexpr std::uint64_t used_offset(std::uint16_t size) {
  return (16ULL * size + 6 + 2ULL * size + 3) / 4 * 4;
}

}  // namespace agentvm::vmm::vsock::testing
