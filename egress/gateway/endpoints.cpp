#include "egress/gateway/endpoints.h"

#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace agentvm::egress {

namespace {

// linux/netfilter_ipv6/ip6_tables.h, which does not go together with netinet/in.h.
constexpr int kIp6OriginalDestination = 80;

AddressPort from_sockaddr(const sockaddr_storage& storage) {
  if (storage.ss_family == AF_INET) {
    sockaddr_in plain{};
    std::memcpy(&plain, &storage, sizeof(plain));
    const asio::ip::address_v4 address(ntohl(plain.sin_addr.s_addr));
    return address_of({address, ntohs(plain.sin_port)});
  }
  sockaddr_in6 plain{};
  std::memcpy(&plain, &storage, sizeof(plain));
  AddressPort made;
  std::copy_n(plain.sin6_addr.s6_addr, made.address.bytes.size(), made.address.bytes.begin());
  made.port = ntohs(plain.sin6_port);
  return made;
}

}  // namespace

asio::ip::tcp::endpoint endpoint_of(const Address& address, std::uint16_t port) {
  if (!is_ipv4(address)) return {asio::ip::address_v6(address.bytes), port};
  asio::ip::address_v4::bytes_type four{};
  std::copy_n(address.bytes.end() - 4, 4, four.begin());
  return {asio::ip::address_v4(four), port};
}

AddressPort address_of(const asio::ip::tcp::endpoint& endpoint) {
  AddressPort made;
  made.port = endpoint.port();
  if (endpoint.address().is_v6()) {
    made.address.bytes = endpoint.address().to_v6().to_bytes();
    return made;
  }
  const auto four = endpoint.address().to_v4().to_bytes();
  made.address.bytes[10] = made.address.bytes[11] = 0xff;
  std::ranges::copy(four, made.address.bytes.end() - 4);
  return made;
}

Result<AddressPort> original_destination(int socket) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  if (::getsockopt(socket, SOL_IP, SO_ORIGINAL_DST, &storage, &size) == 0) {
    return from_sockaddr(storage);
  }
  size = sizeof(storage);
  if (::getsockopt(socket, SOL_IPV6, kIp6OriginalDestination, &storage, &size) == 0) {
    return from_sockaddr(storage);
  }
  return fail_errno(errno, "ask where the connection was for");
}

}  // namespace agentvm::egress
