#include "egress/gateway/judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace agentvm::egress {

namespace {

Judgement judged(Way way, std::string_view name, const Decision& decision, const Address& address) {
  Judgement judgement;
  judgement.way = way;
  judgement.name = name;
  if (decision.rule != nullptr) {
    judgement.rule = decision.rule->text;
    judgement.layer = decision.rule->layer;
  }
  judgement.reason = reason_of(decision, &address);
  return judgement;
}

Judgement judged(const Decision& decision, std::string_view name, const Address& address) {
  switch (decision.verdict) {
    case Verdict::allow:
      return judged(Way::pass, name, decision, address);
    case Verdict::inspect:
      return judged(Way::open, name, decision, address);
    case Verdict::deny:
      break;
  }
  return judged(Way::deny, name, decision, address);
}

Judgement denied(std::string_view name, std::string reason) {
  Judgement judgement;
  judgement.name = name;
  judgement.reason = std::move(reason);
  return judgement;
}

bool is_denied_by_rule(const Decision& decision) {
  return decision.verdict == Verdict::deny && decision.rule != nullptr;
}

// By the address alone. A name that is pinned to it, and whose requests are looked at or that is
// denied, could be what is meant: then it is not enough.
Judgement judge_unnamed(const Settings& settings, const Approach& approach) {
  const Peer alone{"", approach.address, approach.port};
  const Judgement judgement = judged(settings.decide_connection(alone), "", approach.address);
  if (judgement.way != Way::pass) return judgement;
  for (const std::string& name : approach.names) {
    const Peer peer{name, approach.address, approach.port};
    const Decision decision = settings.decide_connection(peer);
    if (is_denied_by_rule(decision)) return judged(decision, name, approach.address);
    if (decision.verdict == Verdict::inspect) {
      return denied(name, fmt::format("requests to {} are looked at, and this is none", name));
    }
  }
  return judgement;
}

}  // namespace

std::string reason_of(const Decision& decision, const Address* address) {
  switch (decision.reason) {
    case Reason::rule:
      return fmt::format("by the rule '{}'", decision.rule->text);
    case Reason::no_rule:
      return decision.verdict == Verdict::deny      ? "no rule allows it"
             : decision.verdict == Verdict::inspect ? "its requests are decided one by one"
                                                    : "no rule denies it";
    case Reason::no_request_rule:
      return "no rule for requests to this host allows it";
    case Reason::reserved: {
      const char* purpose = address != nullptr ? reserved_for(*address) : nullptr;
      return fmt::format("its address is none of the Internet's ({}), and no rule names it",
                         purpose != nullptr ? purpose : "reserved");
    }
    case Reason::unclear_path:
      return "servers differ about what its path means";
  }
  return {};
}

Judgement judge_tls(const Settings& settings, const Approach& approach, const ClientHello& hello) {
  const std::string& name = hello.server_name;
  const Peer peer{name, approach.address, approach.port};
  const Decision named = settings.decide_connection(peer);
  if (is_denied_by_rule(named) || named.reason == Reason::reserved) {
    return judged(named, name, approach.address);
  }
  const bool hidden = hello.encrypted_name || name.empty();
  if (!hidden && std::ranges::find(approach.names, name) != approach.names.end()) {
    return judged(named, name, approach.address);
  }
  Judgement unnamed = judge_unnamed(settings, approach);
  if (hello.encrypted_name) {
    if (unnamed.way == Way::pass) return unnamed;
    return denied(name, "the client hides the server's name (ECH), and no rule allows the address");
  }
  if (name.empty()) {
    if (unnamed.way != Way::deny || !unnamed.name.empty()) return unnamed;
    return denied("", "the client names no server (SNI), and no rule allows the address");
  }
  const bool restricted = named.verdict == Verdict::inspect;
  if (unnamed.way == Way::pass && !restricted) {
    unnamed.name = name;
    return unnamed;
  }
  if (named.verdict == Verdict::deny) return judged(named, name, approach.address);
  return denied(name, fmt::format("{} was not resolved to this address", name));
}

Judgement judge_raw(const Settings& settings, const Approach& approach, bool server_first) {
  std::optional<Judgement> allowed;
  for (const std::string& name : approach.names) {
    const Peer peer{name, approach.address, approach.port};
    // A credential needs requests: where the server speaks first there are none to put it into.
    const Decision decision =
        server_first ? settings.policy.decide_connection(peer) : settings.decide_connection(peer);
    if (is_denied_by_rule(decision)) return judged(decision, name, approach.address);
    if (decision.verdict == Verdict::inspect) {
      return denied(name, fmt::format("requests to {} are looked at, and this is none", name));
    }
    if (decision.verdict == Verdict::allow && !allowed) {
      allowed = judged(decision, name, approach.address);
      allowed->raw = true;
    }
  }
  if (allowed) return *allowed;
  Judgement unnamed = judge_unnamed(settings, approach);
  if (unnamed.way == Way::open) {
    return denied("", "requests to this address are looked at, and this is none");
  }
  if (unnamed.way == Way::deny && approach.names.size() == 1) unnamed.name = approach.names[0];
  return unnamed;
}

bool still_holds(const Settings& settings, const Judgement& judgement, const Approach& approach) {
  const Peer peer{judgement.name, approach.address, approach.port};
  const Decision decision =
      judgement.raw ? settings.policy.decide_connection(peer) : settings.decide_connection(peer);
  return decision.verdict == Verdict::allow;
}

}  // namespace agentvm::egress
