#include "vmm/vsock/service_socket.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace agentvm::vmm::vsock {

Result<UniqueFd> connect_service(std::uint32_t port) {
  const std::string name = fmt::format("vsock.sock_{}", port);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno(errno, "make a socket");
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  std::memcpy(address.sun_path, name.data(), name.size());  // at most 21 bytes
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return fail_errno(errno, fmt::format("connect to '{}'", name));
  }
  return socket;
}

}  // namespace agentvm::vmm::vsock
