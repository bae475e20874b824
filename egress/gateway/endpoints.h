// Addresses as policies have them and as sockets have them.
#pragma once

#include <boost/asio/ip/tcp.hpp>

#include "egress/host.h"
#include "oci/base/async.h"
#include "oci/base/error.h"

namespace agentvm::egress {

struct AddressPort {
  Address address;
  std::uint16_t port = 0;
  friend bool operator==(const AddressPort&, const AddressPort&) = default;
};

// IPv4 as IPv4.
[[nodiscard]] asio::ip::tcp::endpoint endpoint_of(const Address& address, std::uint16_t port);
[[nodiscard]] AddressPort address_of(const asio::ip::tcp::endpoint& endpoint);

// Where the guest wanted to go before the connection was redirected to us (SO_ORIGINAL_DST).
// not_found: it was not redirected.
[[nodiscard]] Result<AddressPort> original_destination(int socket);

}  // namespace agentvm::egress
