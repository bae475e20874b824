// Everything that processes of ours say to each other, as one typed list, over a unix stream
// socket: the socket pair between a command and the monitor, stand-in or holder of a VM that it
// made; the control socket "monitor.sock" in a container's state directory; the socket of a VM that
// waits in the pool.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

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
  grow,  // the VM, and from the monitor on to the holder of one; text: the size, see growth.h
  // a container that lives in the VM of a sandbox → that one's monitor
  attach,  // text: see monitor/pod_members.h, with the mount; answered. The connection is its life
  // a command → the same
  detach,  // text: its id; answered once nothing of it is left in the VM
  // monitor → the holder of the VM that it has claimed
  plug_disk,    // with the image; answered
  plug_nic,     // text: encode_nic(), with the tap; answered
  unplug_nic,   // text: the slot; answered
  stop,         // take it down and end
  ended,        // the holder's word: a part of the VM has; text: part, wait status, console's tail
  disk_failed,  // the holder's word: the host cannot serve the VM's disk; text: the sentence
  // the answer: done, or failed
  done,
};

struct Message {
  MessageType type = MessageType::failed;
  std::string text;
  Error error;       // of `failed`
  UniqueFd fd = {};  // what goes with it, if anything
};

// done, or failed with the error.
[[nodiscard]] Message answer_of(const Result<void>& outcome);

// One end of such a connection.
class Channel {
 public:
  explicit Channel(UniqueFd socket) : socket_(std::move(socket)) {}

  [[nodiscard]] int fd() const { return socket_.get(); }
  // Messages are small and the peer is a process of ours: sending blocks.
  [[nodiscard]] Result<void> send(const Message& message);
  // Blocks until a message, the peer's end (nullopt) or the deadline (unavailable).
  [[nodiscard]] Result<std::optional<Message>> receive(std::chrono::milliseconds timeout);
  // The same for the one type that may come now; of `failed` the error. unavailable, naming `peer`,
  // at the peer's end.
  [[nodiscard]] Result<Message> expect(MessageType expected, std::chrono::milliseconds timeout,
                                       std::string_view peer);
  // As receive(), without blocking the event loop; no deadline of its own.
  [[nodiscard]] Task<std::optional<Message>> async_receive();

 private:
  UniqueFd socket_;
};

}  // namespace agentvm::runtime
