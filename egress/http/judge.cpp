#include "egress/http/judge.h"

#include <fmt/format.h>

#include <charconv>

#include "oci/base/json_writer.h"
#include "oci/base/try.h"

namespace agentvm::egress::http {

namespace {

constexpr unsigned kBadRequest = 400;
constexpr unsigned kForbidden = 403;
constexpr unsigned kMisdirected = 421;

// "host", "host:port", "[address]:port".
struct Authority {
  std::string name;  // empty: an address
  std::optional<Address> address;
  std::optional<std::uint16_t> port;
};

Result<Authority> parse_authority(std::string_view text) {
  Authority authority;
  std::string_view host = text;
  const std::size_t colon = text.rfind(':');
  if (colon != std::string_view::npos && text.find(']', colon) == std::string_view::npos) {
    const std::string_view digits = text.substr(colon + 1);
    std::uint16_t port = 0;
    const auto [end, code] = std::from_chars(digits.begin(), digits.end(), port);
    if (code != std::errc() || end != digits.end() || port == 0) {
      return fail(ErrorKind::invalid_argument, "the port in Host is no port");
    }
    authority.port = port;
    host = text.substr(0, colon);
  }
  if (const auto address = parse_address(host)) {
    authority.address = *address;
    return authority;
  }
  authority.name = TRY(parse_host_name(host), "Host");
  return authority;
}

std::string host_text(const Destination& destination) {
  return destination.name.empty() ? to_text(destination.address) : destination.name;
}

Refusal refuse(const Destination& destination, unsigned status, std::string reason) {
  Refusal refusal;
  refusal.status = status;
  refusal.host = host_text(destination);
  refusal.reason = std::move(reason);
  return refusal;
}

// The target as an origin gets it: of the absolute form, what follows the authority.
Result<std::string> origin_form(const Request& request) {
  std::string_view target = request.target;
  if (target.starts_with('/')) return std::string(target);
  if (target == "*") {
    if (request.method == "OPTIONS") return std::string(target);
    return fail(ErrorKind::invalid_argument, "the target '*' is for OPTIONS alone");
  }
  const std::size_t scheme = target.find("://");
  const std::string_view word = target.substr(0, std::min(scheme, target.size()));
  if (!same_word(word, "http") && !same_word(word, "https")) {
    return fail(ErrorKind::invalid_argument, "the request's target is no path");
  }
  target.remove_prefix(scheme + 3);
  const std::size_t end = std::min(target.find_first_of("/?"), target.size());
  // A server would believe the target, and a filter Host: they have to agree.
  if (!same_word(target.substr(0, end), request.authority)) {
    return fail(ErrorKind::invalid_argument, "the request's target and its Host differ");
  }
  const std::string_view rest = target.substr(end);
  return rest.starts_with('/') ? std::string(rest) : "/" + std::string(rest);
}

// Whether the request's host is the one that the connection is for; fills in the name that a
// connection in the clear has not said.
std::optional<Refusal> check_host(const Request& request, Destination& destination, bool over_tls,
                                  Surroundings& surroundings) {
  const auto authority = parse_authority(request.authority);
  if (!authority) return refuse(destination, kBadRequest, authority.error().text());
  const std::uint16_t usual = over_tls ? 443 : 80;
  const std::uint16_t port = authority->port.value_or(usual);
  // Some clients leave the port out even where it is not the usual one.
  if (port != destination.port && authority->port) {
    return refuse(destination, kMisdirected,
                  fmt::format("the connection is for port {}, the request for port {}",
                              destination.port, port));
  }
  if (authority->address) {
    if (destination.name.empty() && *authority->address == destination.address) return std::nullopt;
    return refuse(destination, kMisdirected,
                  fmt::format("the connection is for {}, the request for {}",
                              host_text(destination), to_text(*authority->address)));
  }
  if (over_tls || !destination.name.empty()) {
    if (authority->name == destination.name) return std::nullopt;
    return refuse(destination, kMisdirected,
                  fmt::format("the connection is for {}, the request for {}",
                              host_text(destination), authority->name));
  }
  destination.name = authority->name;
  if (surroundings.is_pinned(authority->name, destination.address)) return std::nullopt;
  return refuse(destination, kForbidden,
                fmt::format("{} is no address of {} that this sandbox was given",
                            to_text(destination.address), authority->name));
}

std::string reason_of(const Decision& decision, const Destination& destination) {
  switch (decision.reason) {
    case Reason::rule:
      return fmt::format("rule '{}'", decision.rule->text);
    case Reason::no_rule:
      return "no rule allows it";
    case Reason::no_request_rule:
      return "rules allow other requests to this host, and none this one";
    case Reason::reserved: {
      const char* what = reserved_for(destination.address);
      return fmt::format("{} is {}, and no rule names it", to_text(destination.address),
                         what ? what : "reserved");
    }
    case Reason::unclear_path:
      return "servers differ about what this path means";
  }
  return {};
}

// What the owner would type on the host.
std::string remedy_of(const Decision& decision, const Destination& destination,
                      const Request& request, const std::string& path, const Settings& settings) {
  const std::string command =
      fmt::format("agentvm sandbox policy allow --sandbox {} ", settings.sandbox);
  switch (decision.reason) {
    case Reason::rule:
      return decision.rule->layer.empty()
                 ? "remove that rule"
                 : fmt::format("remove that rule from '{}'", decision.rule->layer);
    case Reason::no_rule:
    case Reason::reserved: {
      const std::string host = decision.reason == Reason::reserved ? to_text(destination.address)
                                                                   : host_text(destination);
      const bool bracketed = host.find(':') != std::string::npos;
      return command + (bracketed ? fmt::format("[{}]:{}", host, destination.port)
                                  : fmt::format("{}:{}", host, destination.port));
    }
    case Reason::no_request_rule:
      return command + fmt::format("{}:{} --method {} --path {}", host_text(destination),
                                   destination.port, request.method, path);
    case Reason::unclear_path:
      break;
  }
  return {};
}

}  // namespace

Refusal malformed_request(const Destination& destination, std::string reason) {
  return refuse(destination, kBadRequest, std::move(reason));
}

Judgement judge(const Request& request, const Destination& destination, bool over_tls,
                Surroundings& surroundings) {
  Judgement judgement;
  judgement.destination = destination;
  const auto target = origin_form(request);
  if (!target) {
    judgement.refusal = refuse(destination, kBadRequest, target.error().text());
    return judgement;
  }
  judgement.target = *target;
  judgement.path = target->substr(0, target->find('?'));
  judgement.refusal = check_host(request, judgement.destination, over_tls, surroundings);
  if (judgement.refusal) return judgement;

  const auto settings = surroundings.settings();
  const Destination& to = judgement.destination;
  const Decision decision = settings->policy.decide_request({to.name, to.address, to.port},
                                                            request.method, judgement.target);
  if (decision.rule) {
    judgement.rule = decision.rule->text;
    judgement.layer = decision.rule->layer;
  }
  if (decision.verdict != Verdict::allow) {
    Refusal refusal = refuse(to, kForbidden, reason_of(decision, to));
    refusal.rule = judgement.rule;
    refusal.layer = judgement.layer;
    refusal.remedy = remedy_of(decision, to, request, judgement.path, *settings);
    judgement.refusal = std::move(refusal);
    return judgement;
  }
  auto injection =
      inject(*settings, {to, over_tls, request.method, judgement.target}, request.fields);
  if (injection) {
    judgement.injection = *std::move(injection);
  } else {
    judgement.refusal = refuse(to, kForbidden, injection.error().text());
  }
  return judgement;
}

RefusalBody describe(const Refusal& refusal, const Fields& request) {
  const std::string error =
      fmt::format("agentvm: the request to {} was refused: {}", refusal.host, refusal.reason);
  const std::string* accept = request.find("Accept");
  const std::string* type = request.find("Content-Type");
  const auto asks_json = [](const std::string* text) {
    return text && text->find("json") != std::string::npos;
  };
  if (asks_json(accept) || (asks_json(type) && (!accept || *accept == "*/*"))) {
    JsonWriter json;
    json.begin_object();
    json.key("error").value(error);
    json.key("host").value(refusal.host);
    json.key("rule").value(refusal.rule);
    json.key("reason").value(refusal.reason);
    json.key("how_to_allow").value(refusal.remedy);
    json.end_object();
    return {"application/json", json.take() + "\n"};
  }
  std::string text = error + "\n";
  if (!refusal.rule.empty()) text += fmt::format("rule: {}\n", refusal.rule);
  if (!refusal.remedy.empty())
    text += fmt::format("to allow it, on the host: {}\n", refusal.remedy);
  return {"text/plain; charset=utf-8", std::move(text)};
}

}  // namespace agentvm::egress::http
