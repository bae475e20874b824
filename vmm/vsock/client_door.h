// The listening socket of the hybrid vsock: accepts clients, reads their CONNECT line, hands them
// to the muxer. Clients that do not say what they want, and clients the guest is not ready for, are
// held in bounded number; the rest wait in the socket's backlog.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <list>
#include <memory>

#include "oci/base/unique_fd.h"
#include "vmm/vsock/connect_line.h"
#include "vmm/vsock/link.h"
#include "vmm/vsock/muxer.h"

namespace agentvm::vmm::vsock {

inline constexpr std::size_t kMaxWaiting = 128;  // for the guest
inline constexpr std::size_t kMaxGreeting = 64;  // past it the oldest silent client is closed

class ClientDoor {
 public:
  // `listener` is non-blocking. All three outlive the event loop's last turn.
  ClientDoor(boost::asio::io_context& io, UniqueFd listener, Muxer& muxer);

  // Goes on accepting when the muxer has room again.
  void resume();

 private:
  struct Greeting {
    Descriptor socket;
    std::array<char, kMaxConnectLine> line{};
    std::size_t filled = 0;
  };
  using GreetingRef = std::shared_ptr<Greeting>;

  void await_clients();
  // False when the door has to rest: out of files or memory.
  [[nodiscard]] bool accept_clients();
  void rest();
  void greet(UniqueFd client);
  void await_line(const GreetingRef& greeting);
  void on_line_readable(const GreetingRef& greeting);
  void end_greeting(const GreetingRef& greeting);

  boost::asio::io_context& io_;
  Descriptor listener_;
  boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                    boost::asio::wait_traits<std::chrono::steady_clock>, IoExecutor>
      pause_;
  Muxer& muxer_;
  std::list<GreetingRef> greetings_;  // oldest first
  bool is_awaiting_ = false;
};

}  // namespace agentvm::vmm::vsock
