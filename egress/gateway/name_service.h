// Which names resolve to what: decided by the policy, asked of the resolver, filtered, pinned.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "egress/gateway/stand_in_addresses.h"
#include "egress/gateway/state.h"

namespace agentvm::egress {

// What the guest is answered, and why.
struct NameAnswer {
  std::uint8_t code = kDnsNoError;
  std::vector<DnsAddress> addresses;  // all of them pinned
  std::string message;                // instead of addresses: the resolver's, of another type
  bool allowed = true;
  std::string rule;
  std::string layer;
  std::string reason;
};

class NameService {
 public:
  explicit NameService(GatewayState& state) : state_(state) {}

  // Denied names do not exist. Of what resolves to an address that is none of the Internet's only
  // those are answered that a rule names as addresses (rebinding). Types that carry hints past this
  // service (HTTPS, SVCB) are answered with nothing; others than addresses are refused, for they
  // carry whatever somebody wants, unless the policy allows what no rule denies. With an upstream
  // proxy, what the resolvers do not know gets an address that stands for it.
  [[nodiscard]] asio::awaitable<NameAnswer> look_up(DnsQuestion question);

 private:
  [[nodiscard]] Task<Resolved> ask(DnsQuestion question);
  void take_addresses(const DnsAnswer& from, NameAnswer& to);
  void take_stand_in(const DnsQuestion& question, NameAnswer& to);

  GatewayState& state_;
  StandInAddresses stand_ins_;
  Pins::Clock::time_point silent_until_;  // what does not answer is not asked at once again
};

}  // namespace agentvm::egress
