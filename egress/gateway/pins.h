// Which names the guest was told which addresses for: only these reach an address by a rule that
// names a host. Bounded; what ends first goes first.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "egress/host.h"

namespace agentvm::egress {

class Pins {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kMax = 8192;
  // An answer may live no time at all, and still somebody wants to connect.
  static constexpr std::chrono::seconds kLeast{60};
  // No name service has to be asked again sooner because of us, no address is kept for longer.
  static constexpr std::chrono::seconds kMost{3600};
  // Clients look at their own clock, after the answer has reached them.
  static constexpr std::chrono::seconds kGrace{60};

  void add(std::string_view name, const Address& address, std::uint32_t ttl_s,
           Clock::time_point now);
  [[nodiscard]] bool holds(std::string_view name, const Address& address,
                           Clock::time_point now) const;
  // In alphabetical order.
  [[nodiscard]] std::vector<std::string> names_of(const Address& address,
                                                  Clock::time_point now) const;
  // Those of one name, looked for among all pins; IPv4 first.
  [[nodiscard]] std::vector<Address> addresses_of(std::string_view name,
                                                  Clock::time_point now) const;
  [[nodiscard]] std::size_t size() const { return pins_.size(); }

 private:
  using Key = std::pair<Address, std::string>;
  void remove_first();

  std::map<Key, Clock::time_point> pins_;                    // until when
  std::set<std::pair<Clock::time_point, const Key*>> ends_;  // of pins_, which does not move them
};

}  // namespace agentvm::egress
