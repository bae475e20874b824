#include "egress/policy.h"

#include <fmt/format.h>

#include "egress/path_glob.h"

namespace agentvm::egress {

namespace {

// The rules about a peer, by what they do; of several the one that was made first.
struct Found {
  const Rule* deny = nullptr;
  const Rule* allow = nullptr;
  const Rule* allow_address = nullptr;
  bool requests = false;

  void take(const Rule& rule) {
    if (rule.request) {
      requests = true;
      return;
    }
    first(rule.allow ? allow : deny, rule);
    if (rule.allow && rule.target.scope == Scope::network) first(allow_address, rule);
  }
  static void first(const Rule*& place, const Rule& rule) {
    if (place == nullptr || &rule < place) place = &rule;
  }
};

Decision by_rule(Verdict verdict, const Rule* rule) {
  return {verdict, Reason::rule, rule};
}

}  // namespace

Result<Policy> Policy::create(std::vector<Rule> rules, bool otherwise,
                              std::optional<Network> stand_ins) {
  if (rules.size() > kMaxRules) {
    return fail(ErrorKind::invalid_argument, fmt::format("more than {} rules", kMaxRules));
  }
  return Policy(std::move(rules), otherwise, stand_ins);
}

Policy::Policy(std::vector<Rule> rules, bool otherwise, std::optional<Network> stand_ins)
    : rules_(std::move(rules)), otherwise_(otherwise), stand_ins_(stand_ins) {
  for (std::uint32_t number = 0; number < rules_.size(); ++number) add(rules_[number], number);
}

void Policy::add(const Rule& rule, std::uint32_t number) {
  const Target& target = rule.target;
  switch (target.scope) {
    case Scope::any:
      any_.push_back(number);
      break;
    case Scope::exact:
      exact_[target.name].push_back(number);
      break;
    case Scope::one_label:
      one_label_[target.name].push_back(number);
      break;
    case Scope::any_depth:
      any_depth_[target.name].push_back(number);
      break;
    case Scope::network:
      networks_[target.network.prefix][target.network.address].push_back(number);
      break;
  }
}

template <class Visit>
void Policy::for_each_about(const Peer& peer, Visit visit) const {
  const auto visit_all = [&](const Numbers& numbers) {
    for (const std::uint32_t number : numbers) {
      const Rule& rule = rules_[number];
      if (peer.port == 0 || !rule.target.port || *rule.target.port == peer.port) visit(rule);
    }
  };
  const auto visit_named = [&](const ByName& names, std::string_view name) {
    if (const auto found = names.find(name); found != names.end()) visit_all(found->second);
  };
  visit_all(any_);
  if (!peer.name.empty()) {
    visit_named(exact_, peer.name);
    std::size_t dot = peer.name.find('.');
    if (dot != std::string_view::npos) visit_named(one_label_, peer.name.substr(dot + 1));
    for (; dot != std::string_view::npos; dot = peer.name.find('.', dot + 1)) {
      visit_named(any_depth_, peer.name.substr(dot + 1));
    }
  }
  if (!peer.address) return;
  for (const auto& [prefix, networks] : networks_) {
    const auto found = networks.find(network_of(*peer.address, prefix).address);
    if (found != networks.end()) visit_all(found->second);
  }
}

Decision Policy::otherwise() const {
  return {otherwise_ ? Verdict::allow : Verdict::deny, Reason::no_rule, nullptr};
}

bool Policy::is_reserved(const Peer& peer) const {
  if (!peer.address || reserved_for(*peer.address) == nullptr) return false;
  return peer.name.empty() || !stand_ins_ || !contains(*stand_ins_, *peer.address);
}

Decision Policy::decide_name(std::string_view name) const {
  const Rule* allow = nullptr;
  const Rule* deny = nullptr;
  for_each_about({name, {}, 0}, [&](const Rule& rule) {
    if (rule.allow) {
      Found::first(allow, rule);
    } else if (!rule.request && !rule.target.port) {
      Found::first(deny, rule);
    }
  });
  if (deny != nullptr) return by_rule(Verdict::deny, deny);
  if (allow != nullptr) return by_rule(Verdict::allow, allow);
  return otherwise();
}

bool Policy::allows_address(const Address& address) const {
  bool allowed = false;
  for_each_about({{}, address, 0}, [&](const Rule& rule) {
    allowed = allowed || (rule.allow && rule.target.scope == Scope::network);
  });
  return allowed;
}

Decision Policy::decide_connection(const Peer& peer) const {
  Found found;
  for_each_about(peer, [&](const Rule& rule) { found.take(rule); });
  if (found.deny != nullptr) return by_rule(Verdict::deny, found.deny);
  if (found.allow_address == nullptr && is_reserved(peer)) {
    return {Verdict::deny, Reason::reserved, nullptr};
  }
  if (found.requests) return {Verdict::inspect, Reason::no_rule, nullptr};
  if (found.allow != nullptr) return by_rule(Verdict::allow, found.allow);
  return otherwise();
}

Decision Policy::decide_request(const Peer& peer, std::string_view method,
                                std::string_view target) const {
  const Decision connection = decide_connection(peer);
  if (connection.verdict != Verdict::inspect) return connection;
  const auto path = plain_path(target);
  if (!path) return {Verdict::deny, Reason::unclear_path, nullptr};
  const Rule* deny = nullptr;
  const Rule* allow = nullptr;
  const Rule* host = nullptr;
  bool restricted = false;
  for_each_about(peer, [&](const Rule& rule) {
    if (!rule.request) {
      Found::first(host, rule);
      return;
    }
    restricted = restricted || rule.allow;
    if (is_meant(*rule.request, method, *path)) Found::first(rule.allow ? allow : deny, rule);
  });
  if (deny != nullptr) return by_rule(Verdict::deny, deny);
  if (allow != nullptr) return by_rule(Verdict::allow, allow);
  if (restricted) return {Verdict::deny, Reason::no_request_rule, nullptr};
  return host != nullptr ? by_rule(Verdict::allow, host) : otherwise();
}

}  // namespace agentvm::egress
