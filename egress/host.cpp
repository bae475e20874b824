#include "egress/host.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "oci/base/try.h"

namespace agentvm::egress {

namespace {

constexpr std::size_t kMaxName = 253;
constexpr std::size_t kMaxLabel = 63;
constexpr std::size_t kMaxAddressText = 64;
constexpr unsigned kIpv4Bits = 32;
constexpr unsigned kBits = 128;
constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// `text` quoted, without what would confuse a terminal, and short.
std::string quoted(std::string_view text) {
  std::string shown = "'";
  for (const char c : text.substr(0, kMaxName)) shown += c >= 0x20 && c < 0x7f ? c : '?';
  return shown + "'";
}

std::unexpected<Error> wrong(std::string_view what, std::string_view text, std::string_view why) {
  return fail(ErrorKind::invalid_argument, fmt::format("{} {}: {}", what, quoted(text), why));
}

std::unexpected<Error> wrong_name(std::string_view text, std::string_view why) {
  return wrong("host name", text, why);
}

Result<void> check_label(std::string_view text, std::string_view label) {
  if (label.empty()) return wrong_name(text, "it has an empty label");
  if (label.size() > kMaxLabel) return wrong_name(text, "a label has more than 63 letters");
  for (const char c : label) {
    if ((c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_') continue;
    if (c == '*') return wrong_name(text, "a '*' stands for whole labels at its beginning");
    return wrong_name(text, static_cast<unsigned char>(c) >= 0x80
                                ? "names beyond ASCII are written as xn--…"
                                : "a name has letters, digits, '-', '_' and '.'");
  }
  return {};
}

Address of_ipv4(const std::uint8_t* four) {
  Address address;
  std::ranges::copy(kMapped, address.bytes.begin());
  std::copy_n(four, 4, address.bytes.begin() + kMapped.size());
  return address;
}

struct Reserved {
  const char* network;
  const char* purpose;
};

constexpr std::array kReserved = {
    Reserved{"0.0.0.0/8", "this network"},
    Reserved{"10.0.0.0/8", "private"},
    Reserved{"100.64.0.0/10", "carrier-grade NAT"},
    Reserved{"127.0.0.0/8", "loopback"},
    Reserved{"169.254.0.0/16", "link-local"},
    Reserved{"172.16.0.0/12", "private"},
    Reserved{"192.0.0.0/24", "protocol assignments"},
    Reserved{"192.0.2.0/24", "documentation"},
    Reserved{"192.88.99.0/24", "6to4 relays"},
    Reserved{"192.168.0.0/16", "private"},
    Reserved{"198.18.0.0/15", "benchmarks"},
    Reserved{"198.51.100.0/24", "documentation"},
    Reserved{"203.0.113.0/24", "documentation"},
    Reserved{"224.0.0.0/4", "multicast"},
    Reserved{"240.0.0.0/4", "future use"},
    Reserved{"168.63.129.16", "a cloud's metadata"},
    Reserved{"::/127", "loopback"},
    Reserved{"64:ff9b:1::/48", "translation"},
    Reserved{"100::/64", "discard"},
    Reserved{"2001::/32", "Teredo"},
    Reserved{"2001:db8::/32", "documentation"},
    Reserved{"fc00::/7", "private"},
    Reserved{"fe80::/10", "link-local"},
    Reserved{"fec0::/10", "site-local"},
    Reserved{"ff00::/8", "multicast"},
};

// The IPv4 address within one of IPv6, where its owner need not be who it seems.
struct Carrier {
  const char* network;
  std::size_t at;  // byte of the address
};
constexpr std::array kCarriers = {
    Carrier{"2002::/16", 2},
    Carrier{"64:ff9b::/96", 12},
    Carrier{"::/96", 12},
};

struct ReservedNetwork {
  Network network;
  const char* purpose;
};
struct CarrierNetwork {
  Network network;
  std::size_t at;
};

const std::vector<ReservedNetwork>& reserved_networks() {
  static const auto all = [] {
    std::vector<ReservedNetwork> made;
    for (const Reserved& entry : kReserved) {
      made.push_back({parse_network(entry.network).value(), entry.purpose});
    }
    return made;
  }();
  return all;
}

const std::vector<CarrierNetwork>& carrier_networks() {
  static const auto all = [] {
    std::vector<CarrierNetwork> made;
    for (const Carrier& entry : kCarriers) {
      made.push_back({parse_network(entry.network).value(), entry.at});
    }
    return made;
  }();
  return all;
}

const char* reserved_itself(const Address& address) {
  for (const ReservedNetwork& entry : reserved_networks()) {
    if (contains(entry.network, address)) return entry.purpose;
  }
  return nullptr;
}

}  // namespace

Result<std::string> parse_host_name(std::string_view text) {
  std::string name(text.substr(0, kMaxName + 2));
  if (name.ends_with('.')) name.pop_back();
  if (name.empty()) return wrong_name(text, "it is empty");
  if (name.size() > kMaxName) return wrong_name(text, "it has more than 253 letters");
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  std::string_view rest = name;
  std::string_view last;
  for (;;) {
    const std::size_t dot = rest.find('.');
    last = rest.substr(0, dot);
    TRY(check_label(text, last));
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  // What some programs take for an address: 127.1, 0x7f000001, 2130706433.
  if (std::ranges::all_of(last, is_digit) || last.starts_with("0x")) {
    return wrong_name(text, "its last label reads as a number");
  }
  return name;
}

Result<Address> parse_address(std::string_view text) {
  std::string_view inner = text;
  const bool bracketed = inner.starts_with('[') && inner.ends_with(']');
  if (bracketed) inner = inner.substr(1, inner.size() - 2);
  const std::string word(inner.substr(0, kMaxAddressText));
  std::array<std::uint8_t, 4> four{};
  if (!bracketed && ::inet_pton(AF_INET, word.c_str(), four.data()) == 1) {
    return of_ipv4(four.data());
  }
  Address address;
  if (word.find('\0') == std::string::npos &&
      ::inet_pton(AF_INET6, word.c_str(), address.bytes.data()) == 1) {
    return address;
  }
  return wrong("address", text, "it is none of IPv4 or IPv6");
}

bool is_ipv4(const Address& address) {
  return std::ranges::equal(kMapped, std::span(address.bytes).first(kMapped.size()));
}

std::string to_text(const Address& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (is_ipv4(address)) {
    ::inet_ntop(AF_INET, address.bytes.data() + kMapped.size(), text.data(), text.size());
  } else {
    ::inet_ntop(AF_INET6, address.bytes.data(), text.data(), text.size());
  }
  return text.data();
}

Result<Network> parse_network(std::string_view text) {
  const std::size_t slash = text.find('/');
  const Address address = TRY(parse_address(text.substr(0, slash)));
  const unsigned most = is_ipv4(address) ? kIpv4Bits : kBits;
  unsigned prefix = most;
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    const auto [end, code] = std::from_chars(digits.begin(), digits.end(), prefix);
    if (digits.empty() || code != std::errc() || end != digits.end() || prefix > most) {
      return wrong("network", text, fmt::format("its prefix is no number from 0 to {}", most));
    }
  }
  prefix += kBits - most;
  const Network network = network_of(address, prefix);
  if (network.address != address) {
    return wrong("network", text,
                 fmt::format("it has bits behind its prefix: {}/{} is meant?",
                             to_text(network.address), prefix - (kBits - most)));
  }
  return network;
}

Network network_of(const Address& address, unsigned prefix) {
  Network network{address, prefix};
  for (unsigned byte = 0; byte < network.address.bytes.size(); ++byte) {
    const unsigned kept = prefix > byte * 8 ? std::min(prefix - byte * 8, 8U) : 0;
    network.address.bytes[byte] &= static_cast<std::uint8_t>(0xff00U >> kept);
  }
  return network;
}

bool contains(const Network& network, const Address& address) {
  return network_of(address, network.prefix).address == network.address;
}

const char* reserved_for(const Address& address) {
  if (const char* purpose = reserved_itself(address)) return purpose;
  for (const CarrierNetwork& carrier : carrier_networks()) {
    if (!contains(carrier.network, address)) continue;
    return reserved_itself(of_ipv4(address.bytes.data() + carrier.at));
  }
  return nullptr;
}

}  // namespace agentvm::egress
