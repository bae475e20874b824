#include "egress/gateway/pins.h"

#include <algorithm>

namespace agentvm::egress {

void Pins::add(std::string_view name, const Address& address, std::uint32_t ttl_s,
               Clock::time_point now) {
  const auto life = std::clamp(std::chrono::seconds(ttl_s), kLeast, kMost) + kGrace;
  while (!ends_.empty() && (ends_.begin()->first <= now || pins_.size() > kMax)) remove_first();
  const auto [place, added] = pins_.try_emplace(Key(address, name), now + life);
  if (!added) {
    if (place->second >= now + life) return;
    ends_.erase({place->second, &place->first});
    place->second = now + life;
  } else if (pins_.size() > kMax) {
    remove_first();
  }
  ends_.emplace(place->second, &place->first);
}

void Pins::remove_first() {
  const auto first = ends_.begin();
  const Key* key = first->second;
  ends_.erase(first);
  pins_.erase(*key);
}

bool Pins::holds(std::string_view name, const Address& address, Clock::time_point now) const {
  const auto found = pins_.find(Key(address, name));
  return found != pins_.end() && found->second > now;
}

std::vector<std::string> Pins::names_of(const Address& address, Clock::time_point now) const {
  std::vector<std::string> names;
  for (auto at = pins_.lower_bound(Key(address, "")); at != pins_.end(); ++at) {
    if (at->first.first != address) break;
    if (at->second > now) names.push_back(at->first.second);
  }
  return names;
}

std::vector<Address> Pins::addresses_of(std::string_view name, Clock::time_point now) const {
  std::vector<Address> addresses;
  for (const auto& [key, end] : pins_) {
    if (end > now && key.second == name) addresses.push_back(key.first);
  }
  return addresses;
}

}  // namespace agentvm::egress
