#include "egress/gateway/name_service.h"

#include <fmt/format.h>

#include <algorithm>

#include "egress/gateway/judge.h"

namespace agentvm::egress {

namespace {

constexpr std::uint16_t kDnsNs = 2;
constexpr std::uint16_t kDnsSoa = 6;
constexpr std::uint16_t kDnsSvcb = 64;
constexpr std::uint16_t kDnsHttps = 65;
constexpr std::chrono::seconds kSilence{60};
constexpr std::uint32_t kStandInTtl = 300;

enum class Kind : std::uint8_t { address, nothing, opaque };

Kind kind_of(std::uint16_t type) {
  switch (type) {
    case kDnsA:
    case kDnsAaaa:
      return Kind::address;
    case kDnsCname:
    case kDnsNs:
    case kDnsSoa:
    case kDnsSvcb:
    case kDnsHttps:
      return Kind::nothing;
    default:
      return Kind::opaque;
  }
}

NameAnswer refused(std::uint8_t code, std::string reason) {
  NameAnswer answer;
  answer.code = code;
  answer.allowed = false;
  answer.reason = std::move(reason);
  return answer;
}

NameAnswer decided(const Decision& decision) {
  NameAnswer answer;
  answer.allowed = decision.verdict != Verdict::deny;
  if (!answer.allowed) answer.code = kDnsNoSuchName;
  if (decision.rule != nullptr) {
    answer.rule = decision.rule->text;
    answer.layer = decision.rule->layer;
  }
  answer.reason = reason_of(decision, nullptr);
  return answer;
}

}  // namespace

void NameService::take_addresses(const DnsAnswer& from, NameAnswer& to) {
  const Policy& policy = state_.settings->policy;
  const auto now = Pins::Clock::now();
  const char* kept_for = nullptr;
  for (DnsAddress entry : from.addresses) {
    const char* purpose = reserved_for(entry.address);
    if (purpose != nullptr && !policy.allows_address(entry.address)) {
      kept_for = purpose;
      continue;
    }
    state_.pins.add(from.question.name, entry.address, entry.ttl_s, now);
    entry.ttl_s = std::min(entry.ttl_s, static_cast<std::uint32_t>(Pins::kMost.count()));
    to.addresses.push_back(entry);
  }
  if (!to.addresses.empty() || kept_for == nullptr) return;
  to = refused(kDnsNoSuchName,
               fmt::format("it resolves to an address that is none of the Internet's ({}), and no "
                           "rule names that",
                           kept_for));
}

void NameService::take_stand_in(const DnsQuestion& question, NameAnswer& to) {
  if (question.type != kDnsA) return;
  const Address address = stand_ins_.address_of(question.name);
  state_.pins.add(question.name, address, kStandInTtl, Pins::Clock::now());
  to.addresses.push_back({address, kStandInTtl});
  to.reason += "; the upstream proxy is to resolve it";
}

Task<Resolved> NameService::ask(DnsQuestion question) {
  const bool proxied = state_.settings->upstream_proxy.has_value();
  if (proxied && Pins::Clock::now() < silent_until_) {
    co_return fail(ErrorKind::unavailable, "no resolver answers");
  }
  auto resolved = co_await state_.resolver.ask(std::move(question));
  if (!resolved && proxied) silent_until_ = Pins::Clock::now() + kSilence;
  co_return resolved;
}

asio::awaitable<NameAnswer> NameService::look_up(DnsQuestion question) {
  const auto settings = state_.settings;
  NameAnswer answer = decided(settings->policy.decide_name(question.name));
  if (!answer.allowed) co_return answer;
  if (question.klass != kDnsInternet) {
    co_return refused(kDnsRefused, "its class is not the Internet");
  }
  const Kind kind = kind_of(question.type);
  if (kind == Kind::nothing) co_return answer;
  if (kind == Kind::opaque && !settings->policy.allows_otherwise()) {
    co_return refused(kDnsRefused,
                      fmt::format("records of type {} may carry anything", question.type));
  }
  if (question.type == kDnsAaaa && !state_.ipv6) co_return answer;
  auto resolved = co_await ask(question);
  const bool known = resolved && !resolved->answer.addresses.empty();
  if (settings->upstream_proxy && kind == Kind::address && !known) {
    take_stand_in(question, answer);
    co_return answer;
  }
  if (!resolved) {
    answer.code = kDnsServerFailure;
    answer.reason = resolved.error().text();
    co_return answer;
  }
  answer.code = resolved->answer.code;
  for (const std::string& alias : resolved->answer.aliases) {
    const Decision decision = settings->policy.decide_name(alias);
    if (decision.verdict != Verdict::deny || decision.rule == nullptr) continue;
    NameAnswer denied = decided(decision);
    denied.reason = fmt::format("it is an alias of {}, denied {}", alias, denied.reason);
    co_return denied;
  }
  if (kind == Kind::opaque) {
    answer.message = std::move(resolved->message);
  } else {
    take_addresses(resolved->answer, answer);
  }
  co_return answer;
}

}  // namespace agentvm::egress
