#include "sandbox/catalog/rules.h"

#include "egress/rule.h"
#include "oci/base/try.h"

namespace agentvm::sandbox {

Result<void> check_rule(const RuleText& rule) {
  (void)TRY(egress::parse_rule(rule.allow, rule.target, rule.method, rule.path));
  return {};
}

std::string to_text(const RuleText& rule) {
  std::string text = (rule.allow ? "allow " : "deny ") + rule.target;
  if (!rule.method.empty()) text += " " + rule.method;
  if (!rule.path.empty()) text += " " + rule.path;
  return text;
}

}  // namespace agentvm::sandbox
