// Rules of the network policy as files and command lines have them.
#pragma once

#include <string>
#include <vector>

#include "oci/base/error.h"
#include "oci/base/json_fields.h"

namespace agentvm::sandbox {

// As egress::parse_rule() reads it.
struct RuleText {
  bool allow = true;
  std::string target;
  std::string method;
  std::string path;
  friend bool operator==(const RuleText&, const RuleText&) = default;
};

void json_fields(auto& io, Like<RuleText> auto& rule) {
  io.required("allow", rule.allow);
  io.required("target", rule.target);
  io.optional("method", rule.method);
  io.optional("path", rule.path);
}

// invalid_argument with egress's sentence.
[[nodiscard]] Result<void> check_rule(const RuleText& rule);
// "allow api.github.com:443 GET /repos/**".
[[nodiscard]] std::string to_text(const RuleText& rule);

struct HeaderText {
  std::string name;
  std::string format;
  friend bool operator==(const HeaderText&, const HeaderText&) = default;
};

void json_fields(auto& io, Like<HeaderText> auto& header) {
  io.required("name", header.name);
  io.required("format", header.format);
}

}  // namespace agentvm::sandbox
