// What QEMU has told us over vhost-user: features, memory, rings; and which rings run.
//
// A ring runs between SET_VRING_KICK and GET_VRING_BASE. The device works while both data rings
// run and are enabled; the observer hears of every change. A message that fails leaves the rings
// stopped rather than half set up.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"
#include "vmm/vsock/ring.h"
#include "vmm/vsock/vhost_user_protocol.h"
#include "vmm/vsock/virtio_vsock.h"

namespace agentvm::vmm::vsock {

class SessionObserver {
 public:
  // `kick` becomes readable when the guest has something for ring `index`.
  virtual void on_ring_started(std::uint32_t index, UniqueFd kick) = 0;
  virtual void on_ring_stopped(std::uint32_t index) = 0;
  // The rings stay where they are until on_rings_gone().
  virtual void on_rings_ready(const Rings& rings) = 0;
  virtual void on_rings_gone() = 0;
  // The rings do not go on where they were stopped: the guest's driver began anew.
  virtual void on_driver_restarted() = 0;

 protected:
  ~SessionObserver() = default;
};

class Session {
 public:
  Session(std::uint64_t guest_cid, SessionObserver& observer);

  // Does what the message says. The payload to answer with, if it wants an answer of its own;
  // otherwise the caller acknowledges success or failure when message.need_reply says so.
  [[nodiscard]] Result<std::optional<std::vector<std::byte>>> handle(Message message);

  // Tells QEMU, if it gave a file for that, that a ring is broken, and stops the rings until they
  // are set up anew.
  void condemn_rings();

 private:
  struct Vring {
    std::uint16_t size = 0;
    std::optional<VringAddresses> addresses;
    std::uint16_t base = 0;
    std::optional<std::uint16_t> stopped_at;
    bool enabled = false;
    UniqueFd call;
    UniqueFd error;
    std::optional<Ring> ring;  // while it runs
    bool broken = false;       // until the ring is stopped
  };
  using Answer = std::optional<std::vector<std::byte>>;

  [[nodiscard]] Result<void> act(Message& message);
  [[nodiscard]] Result<Answer> get_vring_base(Payload payload);
  [[nodiscard]] Result<void> set_features(Payload payload);
  [[nodiscard]] Result<void> set_protocol_features(Payload payload);
  [[nodiscard]] Result<void> set_mem_table(Message& message);
  [[nodiscard]] Result<void> set_vring_num(Payload payload);
  [[nodiscard]] Result<void> set_vring_addr(Payload payload);
  [[nodiscard]] Result<void> set_vring_base(Payload payload);
  [[nodiscard]] Result<void> set_vring_kick(Message& message);
  [[nodiscard]] Result<void> set_vring_call(Message& message);
  [[nodiscard]] Result<void> set_vring_err(Message& message);
  [[nodiscard]] Result<void> set_vring_enable(Payload payload);
  void reset_owner();

  [[nodiscard]] Result<Vring*> stopped_vring(std::uint32_t index);
  [[nodiscard]] Result<Vring*> vring(std::uint32_t index);
  // Makes vring.ring from its addresses, to go on at `base`.
  [[nodiscard]] Result<void> build_ring(std::uint32_t index, std::uint16_t base);
  void stop_ring(std::uint32_t index);
  // Calls on_rings_ready() or on_rings_gone() when that changed.
  void report_rings();
  void rings_gone();

  std::uint64_t guest_cid_;
  SessionObserver& observer_;
  std::uint64_t features_ = 0;
  GuestMemory memory_;
  std::array<Vring, kQueueCount> vrings_;
  bool rings_reported_ = false;
};

}  // namespace agentvm::vmm::vsock
