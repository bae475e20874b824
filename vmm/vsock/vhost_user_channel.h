// The vhost-user socket as a stream of messages with their file descriptors.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <variant>
#include <vector>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"
#include "vmm/vsock/vhost_user_protocol.h"

namespace agentvm::vmm::vsock {

class VhostUserChannel {
 public:
  struct NothingYet {};
  struct Closed {};
  using Received = std::variant<Message, NothingYet, Closed>;

  // `socket` is borrowed, connected and non-blocking.
  explicit VhostUserChannel(int socket) : socket_(socket) {}

  // The next whole message; parts of one are kept for the next call. An error, after which the
  // stream cannot be followed any more: a bad frame, an unknown request, too many fds.
  [[nodiscard]] Result<Received> receive();

  [[nodiscard]] Result<void> reply(Request request, std::span<const std::byte> payload);

 private:
  // How many of `wanted` bytes came into `into`; 0: none yet. Closed sets is_closed_.
  [[nodiscard]] Result<std::size_t> receive_bytes(std::span<std::byte> into);

  int socket_;
  bool is_closed_ = false;
  std::array<std::byte, kMessageHeaderSize + kMaxPayload> buffer_{};
  std::size_t filled_ = 0;
  std::vector<UniqueFd> fds_;
};

}  // namespace agentvm::vmm::vsock
