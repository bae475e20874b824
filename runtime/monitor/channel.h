// Everything the monitor and a command may say to each other, as one typed list, over a unix
// stream socket: the socket pair between `create` and the monitor it made, and the control socket
// "monitor.sock" in the container's state directory.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"

namespace agentvm::runtime {

inline constexpr const char* kControlSocket = "monitor.sock";

enum class MessageType : std::uint8_t {
  // monitor → create
  prepared,  // namespaces and cgroup are there: hooks may look at the monitor's pid
  created,   // the container is created; text: the monitor's Timings, encoded
  failed,    // the error; the monitor is about to end
  // create → monitor
  proceed,     // the cgroup is there and recorded: children may be started
  hooks_done,  // the create-time hooks have succeeded
  // a command → monitor's control socket, one request per connection
  start,
  // the answer: done, or failed
  done,
};

struct Message {
  MessageType type = MessageType::failed;
  std::string text;
  Error error;  // of `failed`
};

// One end of such a connection.
class Channel {
 public:
  explicit Channel(UniqueFd socket) : socket_(std::move(socket)) {}

  [[nodiscard]] int fd() const { return socket_.get(); }
  // Messages are small and the peer is a process of ours: sending blocks.
  [[nodiscard]] Result<void> send(const Message& message);
  // Blocks until a message, the peer's end (nullopt) or the deadline (unavailable).
  [[nodiscard]] Result<std::optional<Message>> receive(std::chrono::milliseconds timeout);
  // The same without blocking the event loop; no deadline of its own.
  [[nodiscard]] Task<std::optional<Message>> async_receive();

 private:
  UniqueFd socket_;
};

}  // namespace agentvm::runtime
