// Moves packets between the rings and the clients' sockets. Single-threaded: everything happens in
// turns of the event loop, each bounded, so that kicks, messages of QEMU and clients all get
// theirs.
//
// Back-pressure instead of buffers: a client is read only into buffers and credit the guest has
// given, a guest gets credit back only for what its client took.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>

#include "oci/base/unique_fd.h"
#include "vmm/vsock/link.h"
#include "vmm/vsock/link_table.h"
#include "vmm/vsock/ring.h"
#include "vmm/vsock/rx_writer.h"
#include "vmm/vsock/tx_reader.h"

namespace agentvm::vmm::vsock {

class MuxerOwner {
 public:
  // A ring broke the rules; the muxer has stopped and forgotten the guest.
  virtual void on_broken_ring(std::string_view ring, std::string_view fault) = 0;
  // A client that waited for the guest was served or left.
  virtual void on_fewer_waiting() = 0;

 protected:
  ~MuxerOwner() = default;
};

class Muxer final : private LinkOwner {
 public:
  Muxer(boost::asio::io_context& io, std::uint64_t guest_cid, MuxerOwner& owner);

  // The rings run until stop(). Links outlive that (the VM may only be paused).
  void start(const Rings& rings);
  void stop();
  // The guest's driver begins anew: links it knew are closed, clients still waiting for it stay.
  void forget_guest();
  // A ring was kicked.
  void schedule();

  // A client asks for the guest's port. `client` is non-blocking. False, client closed, when there
  // are too many links.
  bool connect(UniqueFd client, std::uint32_t guest_port);
  // Clients whose REQUEST the guest has not been given yet.
  [[nodiscard]] std::size_t waiting() const { return waiting_; }

 private:
  enum class Turn : std::uint8_t { idle, unfinished, broken };

  // RSTs the guest has not taken yet, past which its packets are left in the ring: a guest that
  // provokes resets and does not read them must not make us grow.
  static constexpr std::size_t kMaxResets = 64;

  void on_readable(Link& link) override;
  void on_writable(Link& link) override;
  void on_hangup(Link& link) override;

  void run();
  void stop_for(std::string_view ring, const Ring& broken);

  // Guest to clients: muxer_from_guest.cpp.
  [[nodiscard]] Turn serve_guest();
  void handle_packet();
  void react(Link& link, Reaction reaction);
  void accept(const PacketHeader& request);
  void answer_reset(const PacketHeader& to);
  void deliver(Link& link);
  void settle(Link& link);
  void client_stopped_reading(Link& link);
  void guest_closed(Link& link);

  // Clients to guest: muxer.cpp.
  [[nodiscard]] Turn serve_clients();
  [[nodiscard]] RxWriter::Outcome serve_next();
  [[nodiscard]] RxWriter::Outcome serve(Link& link);
  void client_gone(Link& link);
  void queue(Link& link);

  [[nodiscard]] bool make_room();
  // Ends a link: with an RST to the guest, or without.
  void reset(Link& link);
  void remove(Link& link);

  boost::asio::io_context& io_;
  std::uint64_t guest_cid_;
  MuxerOwner& owner_;
  Rings rings_;
  LinkTable table_;
  std::deque<LinkRef> queue_;        // links with something for the guest, in turn
  std::deque<PacketHeader> resets_;  // RSTs without a link, at most kMaxResets + kMaxLinks
  RxWriter writer_;
  TxReader reader_;
  std::size_t waiting_ = 0;
  bool is_scheduled_ = false;
  bool tx_is_blocked_ = false;  // packets were left in the tx ring for want of room in resets_
};

}  // namespace agentvm::vmm::vsock
