// The documents that the runtime and its gateway read: gateway.json, machine.json, values.json
// (egress/settings.h). Pure: values in, text out.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sandbox/catalog/catalog.h"
#include "sandbox/store/record.h"

namespace agentvm::sandbox {

// What the guest holds in place of every value.
inline constexpr const char* kPlaceholder = "proxy-managed";
// The name of the value that is no credential but the host's own proxy.
inline constexpr const char* kUpstreamProxy = "upstream-proxy";

// A layer of rules, in the order in which they are told; deny wins across all of them.
struct RuleLayer {
  std::string name;
  std::vector<RuleText> rules;
};

struct Credential {
  std::string name;
  std::vector<std::string> environment;  // of the guest
  std::vector<std::string> hosts;
  std::vector<HeaderText> headers;
  std::string method;
  std::string path;
  friend bool operator==(const Credential&, const Credential&) = default;
};

// preset, agent, user, sandbox: those that have rules.
[[nodiscard]] std::vector<RuleLayer> rule_layers(const Record& record, const Preset& preset,
                                                 const Agent& agent, const UserPolicy& user);

struct Authority {
  std::string certificate;
  std::string key;
};

[[nodiscard]] std::string gateway_json(const Record& record, bool allows,
                                       const std::vector<RuleLayer>& layers,
                                       const std::vector<Credential>& credentials,
                                       const Authority& authority);
[[nodiscard]] std::string machine_json(const Record& record);
[[nodiscard]] std::string values_json(const std::map<std::string, std::string>& values);

}  // namespace agentvm::sandbox
