// Host names and addresses in one spelling, however rules, DNS, TLS and HTTP write them.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "oci/base/error.h"

namespace agentvm::egress {

// Lower case, without a dot at its end. Labels of 1 to 63 letters, digits, '-' and '_', 253 in all
// (RFC 1035, 2.3.4). invalid_argument for anything else: names beyond ASCII travel as xn--, and
// what reads as an address is none.
[[nodiscard]] Result<std::string> parse_host_name(std::string_view text);

// IPv4 addresses are those below ::ffff:0:0/96.
struct Address {
  std::array<std::uint8_t, 16> bytes{};
  friend auto operator<=>(const Address&, const Address&) = default;
};

// As inet_pton(3) reads them, IPv6 in brackets too; no zone. A mapped IPv4 address is that address.
[[nodiscard]] Result<Address> parse_address(std::string_view text);
[[nodiscard]] std::string to_text(const Address& address);
[[nodiscard]] bool is_ipv4(const Address& address);

struct Network {
  Address address;      // its first
  unsigned prefix = 0;  // bits, of the 128: 96 more than IPv4's own
  friend auto operator<=>(const Network&, const Network&) = default;
};

// "10.0.0.0/8", "fd00::/8", or an address alone. invalid_argument where bits are set behind the
// prefix: somebody meant something else.
[[nodiscard]] Result<Network> parse_network(std::string_view text);
// The network of `prefix` bits that holds `address`.
[[nodiscard]] Network network_of(const Address& address, unsigned prefix);
[[nodiscard]] bool contains(const Network& network, const Address& address);

// "private", "loopback", "link-local", …: what the address is kept for when it is none of the
// Internet's (RFC 6890 and what cloud providers answer metadata on); nullptr when it is one.
// Addresses that carry one of IPv4 (6to4, NAT64, compatible) count as that one.
[[nodiscard]] const char* reserved_for(const Address& address);

}  // namespace agentvm::egress
