// One stream connection as the virtio socket device knows it (virtio 1.2, 5.10.6): states, credit,
// half-closes, and what has to be said to the guest. No I/O: muxer.h moves the bytes.
//
// "guest" is the peer behind the rings, "client" whoever holds the other end of the unix socket.
#pragma once

#include <cstdint>
#include <optional>

#include "vmm/vsock/virtio_vsock.h"

namespace agentvm::vmm::vsock {

// Names a connection: there is one guest and one host CID.
struct Ports {
  std::uint32_t host = 0;
  std::uint32_t guest = 0;

  friend bool operator==(const Ports&, const Ports&) = default;
};

// What a packet from the guest asks of the muxer.
enum class Reaction : std::uint8_t {
  none,         // credit, or something that needs no answer
  established,  // the guest accepted: tell the client
  data,         // take the payload; later report consumed() for it
  discard,      // as data, but the client is gone
  shutdown,     // look at guest_shutdown()
  closed,       // the guest sent RST: it has forgotten the connection
  violation,    // reset this connection
};

class Connection {
 public:
  // A client that wants to reach the guest: REQUEST is due.
  static Connection make_outgoing(Ports ports, std::uint64_t guest_cid, std::uint32_t window);
  // The guest's REQUEST, accepted: RESPONSE is due. `request` has op request.
  static Connection make_incoming(const PacketHeader& request, std::uint32_t window);

  // ---- from the guest
  // `header` has our ports; `payload` is how many bytes really came with it.
  [[nodiscard]] Reaction receive(const PacketHeader& header, std::uint64_t payload);
  // `count` bytes of taken payload went to the client: the guest gets that credit back.
  void consumed(std::uint32_t count);

  // ---- from the client
  // The client will send nothing more; comes after all its bytes were sent().
  void client_finished();
  // The client reads nothing more, but may still send.
  void client_stopped_reading();
  // The client is gone altogether.
  void client_gone();

  // ---- to the guest
  // The next packet without payload that is due; its sending is taken as done.
  [[nodiscard]] std::optional<PacketHeader> next_control();
  [[nodiscard]] bool has_control() const { return due_ != 0; }
  // How many bytes the guest has room for, 0 when data may not be sent. When it comes out as 0 for
  // want of room only, a CREDIT_REQUEST becomes due, once.
  [[nodiscard]] std::uint32_t send_credit();
  // A data packet of `length` bytes, at most send_credit(): counted as sent.
  [[nodiscard]] PacketHeader data_header(std::uint32_t length);
  // The RST that ends this connection.
  [[nodiscard]] PacketHeader reset_header();

  // kShutdownReceive, kShutdownSend: what the guest said it will not do any more.
  [[nodiscard]] std::uint32_t guest_shutdown() const { return guest_shutdown_; }
  // The guest knows of this connection, or is about to be told.
  [[nodiscard]] bool request_sent() const { return (due_ & bit(Due::request)) == 0; }
  [[nodiscard]] bool is_open() const { return state_ == State::open; }
  [[nodiscard]] bool is_lingering() const { return state_ == State::lingering; }
  [[nodiscard]] const Ports& ports() const { return ports_; }
  [[nodiscard]] std::uint32_t window() const { return window_; }

 private:
  enum class State : std::uint8_t {
    requesting,  // REQUEST due or sent, no answer yet
    open,        // established, perhaps half closed
    lingering,   // the client is gone and the guest was told; its RST is awaited
  };
  // Packets that are due. A set, not a queue: a state is said once however often it was reached.
  enum class Due : std::uint8_t {
    request = 1,
    response = 2,
    credit_request = 4,
    credit_update = 8,
    shutdown = 16,
  };
  static constexpr std::uint8_t bit(Due due) { return static_cast<std::uint8_t>(due); }

  Connection(Ports ports, std::uint64_t guest_cid, std::uint32_t window, State state);

  [[nodiscard]] bool take_credit(const PacketHeader& header);
  [[nodiscard]] Reaction receive_requesting(const PacketHeader& header);
  [[nodiscard]] Reaction receive_open(const PacketHeader& header, std::uint64_t payload);
  [[nodiscard]] Reaction receive_data(const PacketHeader& header, std::uint64_t payload);
  void tell_shutdown(std::uint32_t flags);
  [[nodiscard]] PacketHeader stamped(Op op);

  Ports ports_;
  std::uint64_t guest_cid_;
  State state_;
  std::uint8_t due_ = 0;
  bool credit_requested_ = false;
  std::uint32_t guest_shutdown_ = 0;
  std::uint32_t client_shutdown_ = 0;  // what we tell, or told, the guest

  // Guest to client, our side of 5.10.6.3: free-running counters.
  std::uint32_t window_;  // buf_alloc of ours
  std::uint32_t received_ = 0;
  std::uint32_t forwarded_ = 0;  // fwd_cnt
  std::uint32_t told_forwarded_ = 0;

  // Client to guest.
  std::uint32_t guest_window_ = 0;  // buf_alloc of the guest
  std::uint32_t sent_ = 0;
  std::uint32_t guest_forwarded_ = 0;
};

}  // namespace agentvm::vmm::vsock
