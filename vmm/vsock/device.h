// The whole device on an event loop: the vhost-user socket, the rings' kicks, the muxer, the door
// for clients.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <optional>
#include <string_view>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"
#include "vmm/vsock/client_door.h"
#include "vmm/vsock/link.h"
#include "vmm/vsock/muxer.h"
#include "vmm/vsock/session.h"
#include "vmm/vsock/vhost_user_channel.h"
#include "vmm/vsock/virtio_vsock.h"

namespace agentvm::vmm::vsock {

class Device final : private SessionObserver, private MuxerOwner {
 public:
  // `vhost_user` is connected, `listener` listens, both non-blocking.
  Device(boost::asio::io_context& io, UniqueFd vhost_user, UniqueFd listener,
         std::uint64_t guest_cid);

  // Runs the event loop until QEMU closes its socket; an error when QEMU broke the protocol.
  [[nodiscard]] Result<void> run();

 private:
  void await_messages();
  // False when the session is over.
  [[nodiscard]] bool take_messages();
  [[nodiscard]] Result<void> answer(Message message);
  void end(Result<void> outcome);

  void await_kick(std::uint32_t index);
  void on_kick(std::uint32_t index, const boost::system::error_code& code);

  void on_ring_started(std::uint32_t index, UniqueFd kick) override;
  void on_ring_stopped(std::uint32_t index) override;
  void on_rings_ready(const Rings& rings) override;
  void on_rings_gone() override;
  void on_driver_restarted() override;
  void on_broken_ring(std::string_view ring, std::string_view fault) override;
  void on_fewer_waiting() override;

  struct Kick {
    std::optional<Descriptor> file;
    std::uint64_t generation = 0;  // tells a late event of an earlier file
  };

  boost::asio::io_context& io_;
  Descriptor vhost_user_;
  VhostUserChannel channel_;
  Muxer muxer_;
  ClientDoor door_;
  Session session_;
  std::array<Kick, kQueueCount> kicks_;
  std::uint32_t faults_ = 0;
  Result<void> outcome_;
};

}  // namespace agentvm::vmm::vsock
