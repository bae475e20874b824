// Addresses for names that nobody but the host's proxy can resolve. One name keeps its address.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "egress/host.h"
#include "egress/upstream_proxy.h"

namespace agentvm::egress {

class StandInAddresses {
 public:
  static constexpr std::size_t kMax = 8192;
  // Long enough that an address comes to another name only when its pins have ended.
  static constexpr std::uint32_t kAddresses = 1U << 17;

  [[nodiscard]] Address address_of(std::string_view name) {
    if (const auto found = given_.find(name); found != given_.end()) return found->second;
    if (given_.size() == kMax) given_.clear();
    Address address = stand_ins().address;
    next_ = next_ + 1 == kAddresses ? 1 : next_ + 1;
    for (std::size_t byte = 0; byte < 3; ++byte) {
      address.bytes[15 - byte] =
          static_cast<std::uint8_t>(address.bytes[15 - byte] | ((next_ >> (8 * byte)) & 0xff));
    }
    given_.emplace(name, address);
    return address;
  }

 private:
  std::uint32_t next_ = 0;
  std::map<std::string, Address, std::less<>> given_;
};

}  // namespace agentvm::egress
