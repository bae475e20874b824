// DNS messages (RFC 1035, section 4), as far as a gateway needs them: the guest's questions, the
// resolver's answers, and what the gateway says itself. Both are untrusted.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "egress/host.h"
#include "oci/base/error.h"

namespace agentvm::egress {

inline constexpr std::size_t kMaxDnsMessage = 65535;

// Of types and codes those that are looked at; others travel as numbers.
inline constexpr std::uint16_t kDnsA = 1;
inline constexpr std::uint16_t kDnsCname = 5;
inline constexpr std::uint16_t kDnsAaaa = 28;
inline constexpr std::uint16_t kDnsInternet = 1;  // class
inline constexpr std::uint8_t kDnsNoError = 0;
inline constexpr std::uint8_t kDnsServerFailure = 2;
inline constexpr std::uint8_t kDnsNoSuchName = 3;
inline constexpr std::uint8_t kDnsRefused = 5;

struct DnsQuestion {
  std::string name;  // as parse_host_name() gives it
  std::uint16_t type = 0;
  std::uint16_t klass = kDnsInternet;
  friend bool operator==(const DnsQuestion&, const DnsQuestion&) = default;
};

struct DnsQuery {
  std::uint16_t id = 0;
  bool recursion_desired = false;
  DnsQuestion question;
  std::string question_bytes;  // as they came, the letters' case included, for the answer
  friend bool operator==(const DnsQuery&, const DnsQuery&) = default;
};

// A standard query with exactly one question. invalid_argument for everything else, a name that is
// no host name included: nothing that a policy could judge.
[[nodiscard]] Result<DnsQuery> parse_dns_query(std::string_view message);

struct DnsAddress {
  Address address;
  std::uint32_t ttl_s = 0;  // the least on the way to it
  friend bool operator==(const DnsAddress&, const DnsAddress&) = default;
};

struct DnsAnswer {
  std::uint16_t id = 0;
  std::uint8_t code = kDnsNoError;
  bool truncated = false;
  DnsQuestion question;
  std::vector<std::string> aliases;   // the names that the question's leads to, in order
  std::vector<DnsAddress> addresses;  // of the last of them; others of the message are not taken
  friend bool operator==(const DnsAnswer&, const DnsAnswer&) = default;
};

// An answer with its one question. invalid_argument when it is malformed or runs in a circle.
[[nodiscard]] Result<DnsAnswer> parse_dns_answer(std::string_view message);

// What the gateway asks its resolver.
[[nodiscard]] std::string write_dns_query(std::uint16_t id, const DnsQuestion& question);
// An answer with nothing but a code.
[[nodiscard]] std::string write_dns_refusal(const DnsQuery& query, std::uint8_t code);
// Those of `addresses` that are of the question's type; others are left out.
[[nodiscard]] std::string write_dns_answer(const DnsQuery& query,
                                           const std::vector<DnsAddress>& addresses);

}  // namespace agentvm::egress
