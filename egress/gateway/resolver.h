// Asks the resolvers of the sandbox's namespace. Every question has an id and a port of its own,
// and an answer has to be to that question.
#pragma once

#include <boost/asio/ip/udp.hpp>
#include <string>
#include <vector>

#include "egress/dns_message.h"
#include "oci/base/async.h"

namespace agentvm::egress {

// "192.0.2.1", "192.0.2.1:5353", "[fd00::1]:53".
[[nodiscard]] Result<asio::ip::udp::endpoint> parse_resolver(std::string_view text);

struct Resolved {
  DnsAnswer answer;
  std::string message;  // as it came
};

class Resolver {
 public:
  static constexpr std::size_t kMaxServers = 8;

  explicit Resolver(std::vector<asio::ip::udp::endpoint> servers) : servers_(std::move(servers)) {}

  // Over UDP, then TCP where the answer was cut; the servers in their order, twice, beginning with
  // the one that answered last. unavailable when none answers.
  [[nodiscard]] Task<Resolved> ask(DnsQuestion question);

 private:
  std::vector<asio::ip::udp::endpoint> servers_;
  std::size_t first_ = 0;
};

}  // namespace agentvm::egress
