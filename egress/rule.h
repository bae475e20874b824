// One rule of a network policy: to whom, and for request rules what.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "egress/host.h"

namespace agentvm::egress {

enum class Scope : std::uint8_t {
  any,        // *
  exact,      // example.com
  one_label,  // *.example.com: www.example.com, neither example.com nor a.www.example.com
  any_depth,  // **.example.com: www.example.com and a.www.example.com, not example.com
  network,    // 203.0.113.7, 10.0.0.0/8, fd00::/8
};

// Whom a rule is about.
struct Target {
  Scope scope = Scope::any;
  std::string name;  // of the last three names: what follows the stars
  Network network;
  std::optional<std::uint16_t> port;  // every port without
  friend bool operator==(const Target&, const Target&) = default;
};

// "example.com", "*.example.com:443", "[fd00::1]:22", "10.0.0.0/8", "*". invalid_argument says what
// is wrong and what was probably meant (a URL's scheme and path, for one).
[[nodiscard]] Result<Target> parse_target(std::string_view text);

// What of a host is meant, when not all.
struct RequestPattern {
  std::string method;  // in upper case; empty: every method
  std::string path;    // a glob of path_glob.h; empty: every path
  friend bool operator==(const RequestPattern&, const RequestPattern&) = default;
};

// `path` as plain_path() gives it.
[[nodiscard]] bool is_meant(const RequestPattern& pattern, std::string_view method,
                            std::string_view path);

struct Rule {
  bool allow = true;
  Target target;
  std::optional<RequestPattern> request;
  std::string text;   // as its author would write it, for logs and refusals
  std::string layer;  // the part of the policy that it stands in; nothing is decided by it
  friend bool operator==(const Rule&, const Rule&) = default;
};

// `method` and `path` may be empty; with either it is a request rule.
[[nodiscard]] Result<Rule> parse_rule(bool allow, std::string_view target,
                                      std::string_view method = {}, std::string_view path = {});

}  // namespace agentvm::egress
