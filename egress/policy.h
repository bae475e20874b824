// What a set of rules says about a name, a connection, a request. A value: rules change by making
// another one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "egress/rule.h"

namespace agentvm::egress {

enum class Verdict : std::uint8_t {
  allow,
  deny,
  inspect,  // of a connection: its requests are to be decided, one by one
};

enum class Reason : std::uint8_t {
  rule,             // the decision's rule says so
  no_rule,          // none does: the policy's default
  no_request_rule,  // the host has rules for requests, and none allows this one
  reserved,         // an address that is not the Internet's, and no rule names it
  unclear_path,     // servers differ about what the path means
};

struct Decision {
  Verdict verdict = Verdict::deny;
  Reason reason = Reason::no_rule;
  const Rule* rule = nullptr;  // of the policy's; with Reason::rule alone
};

struct Peer {
  std::string_view name;  // as parse_host_name() gives it; empty: an address alone was named
  std::optional<Address> address;  // nothing: not yet known
  std::uint16_t port = 0;
};

// Rules are asked in no order: deny wins over allow. A rule for requests makes that the requests of
// its host are looked at, whatever allows the host, and where some allow requests the others of
// that host are denied. Reserved addresses are reached only when a rule names them as an address,
// also under a name that is allowed.
class Policy {
 public:
  static constexpr std::size_t kMaxRules = 65536;

  // `otherwise`: what holds where no rule does. Addresses of `stand_ins` are given to names by us,
  // and are not reserved under them. invalid_argument for more than kMaxRules.
  [[nodiscard]] static Result<Policy> create(std::vector<Rule> rules, bool otherwise,
                                             std::optional<Network> stand_ins = {});
  Policy(Policy&&) = default;
  Policy& operator=(Policy&&) = default;

  // Whether the name may be resolved: some port of it is allowed, or may be.
  [[nodiscard]] Decision decide_name(std::string_view name) const;
  [[nodiscard]] Decision decide_connection(const Peer& peer) const;
  // `target` as in the request line. Not for requests whose connection is denied.
  [[nodiscard]] Decision decide_request(const Peer& peer, std::string_view method,
                                        std::string_view target) const;

  // Whether some rule allows it as an address, on whatever port: not only under a name.
  [[nodiscard]] bool allows_address(const Address& address) const;
  // What holds where no rule does.
  [[nodiscard]] bool allows_otherwise() const { return otherwise_; }
  [[nodiscard]] const std::vector<Rule>& rules() const { return rules_; }

 private:
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  using Numbers = std::vector<std::uint32_t>;
  using ByName = std::unordered_map<std::string, Numbers, Hash, std::equal_to<>>;

  Policy(std::vector<Rule> rules, bool otherwise, std::optional<Network> stand_ins);
  void add(const Rule& rule, std::uint32_t number);
  // Calls `visit` with each rule about the peer, its port included where one is asked for.
  template <class Visit>
  void for_each_about(const Peer& peer, Visit visit) const;
  [[nodiscard]] Decision otherwise() const;
  [[nodiscard]] bool is_reserved(const Peer& peer) const;

  std::vector<Rule> rules_;
  bool otherwise_ = false;
  std::optional<Network> stand_ins_;
  Numbers any_;
  ByName exact_;
  ByName one_label_;
  ByName any_depth_;
  std::map<unsigned, std::map<Address, Numbers>> networks_;  // by prefix
};

}  // namespace agentvm::egress
