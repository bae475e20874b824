#include "egress/rule.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "egress/path_glob.h"
#include "oci/base/try.h"

namespace agentvm::egress {

namespace {

constexpr std::size_t kMaxTarget = 512;
constexpr std::size_t kMaxMethod = 32;

std::unexpected<Error> wrong(std::string_view why) {
  return fail(ErrorKind::invalid_argument, std::string(why));
}

Result<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, code] = std::from_chars(text.begin(), text.end(), port);
  if (text.empty() || code != std::errc() || end != text.end() || port == 0) {
    return wrong("its port is no number from 1 to 65535");
  }
  return port;
}

// What is before the port. A colon within an address of IPv6 is none of the port's.
Result<std::string_view> take_port(std::string_view text, std::optional<std::uint16_t>& port) {
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return wrong("its '[' has no ']'");
    const std::string_view rest = text.substr(end + 1);
    if (rest.starts_with(':')) {
      port = TRY(parse_port(rest.substr(1)));
    } else if (!rest.empty()) {
      return wrong("after ']' only ':' and a port may follow");
    }
    return text.substr(0, end + 1);
  }
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || text.find(':', colon + 1) != std::string_view::npos) {
    return text;
  }
  port = TRY(parse_port(text.substr(colon + 1)));
  return text.substr(0, colon);
}

bool looks_like_address(std::string_view text) {
  return text.find(':') != std::string_view::npos || text.find('/') != std::string_view::npos ||
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

Result<Target> parse_whom(std::string_view text) {
  Target target;
  if (text == "*" || text == "**") return target;
  if (text.starts_with("**.")) {
    target.scope = Scope::any_depth;
    target.name = TRY(parse_host_name(text.substr(3)));
  } else if (text.starts_with("*.")) {
    target.scope = Scope::one_label;
    target.name = TRY(parse_host_name(text.substr(2)));
  } else if (looks_like_address(text)) {
    target.scope = Scope::network;
    target.network = TRY(parse_network(text));
  } else {
    target.scope = Scope::exact;
    target.name = TRY(parse_host_name(text));
  }
  return target;
}

Result<std::string> parse_method(std::string_view text) {
  if (text.size() > kMaxMethod) return wrong("the method is too long");
  std::string method(text);
  for (char& c : method) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (!((c >= 'A' && c <= 'Z') || c == '-')) return wrong("a method has letters and '-' alone");
  }
  return method;
}

std::string describe(const Rule& rule, std::string_view target) {
  std::string text = fmt::format("{} {}", rule.allow ? "allow" : "deny", target);
  if (!rule.request) return text;
  if (!rule.request->method.empty()) text += " " + rule.request->method;
  if (!rule.request->path.empty()) text += " " + rule.request->path;
  return text;
}

}  // namespace

bool is_meant(const RequestPattern& pattern, std::string_view method, std::string_view path) {
  return (pattern.method.empty() || pattern.method == method) &&
         (pattern.path.empty() || matches_glob(pattern.path, path));
}

Result<Target> parse_target(std::string_view text) {
  if (text.empty()) return wrong("a rule without a host");
  if (text.size() > kMaxTarget) return wrong("a rule's host of more than 512 characters");
  if (const std::size_t scheme = text.find("://"); scheme != std::string_view::npos) {
    std::string_view host = text.substr(scheme + 3);
    host = host.substr(0, host.find('/'));
    return fail(ErrorKind::invalid_argument,
                fmt::format("rule '{}': it is a URL; a rule names a host: '{}'", text, host));
  }
  std::optional<std::uint16_t> port;
  const std::string_view whom = TRY(take_port(text, port), "rule '{}'", text);
  Target target = TRY(parse_whom(whom), "rule '{}'", text);
  target.port = port;
  return target;
}

Result<Rule> parse_rule(bool allow, std::string_view target, std::string_view method,
                        std::string_view path) {
  Rule rule;
  rule.allow = allow;
  rule.target = TRY(parse_target(target));
  if (!method.empty() || !path.empty()) {
    rule.request.emplace();
    rule.request->method = TRY(parse_method(method), "rule '{}'", target);
    if (!path.empty()) TRY(check_glob(path), "rule '{}'", target);
    rule.request->path = path;
  }
  rule.text = describe(rule, target);
  return rule;
}

}  // namespace agentvm::egress
