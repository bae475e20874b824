// What a sandbox's gateway is told: gateway.json (policy, credentials, authority) and values.json
// (what the credentials are worth). Both are files of the host's, and both are read strictly:
// a member that nobody knows is an error, for it might have narrowed a rule.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "egress/policy.h"
#include "egress/secret.h"
#include "egress/upstream_proxy.h"
#include "oci/base/error.h"
#include "oci/base/json_reader.h"

namespace agentvm::egress {

inline constexpr std::size_t kMaxSettingsBytes = std::size_t{4} << 20;
inline constexpr std::size_t kMaxSettingsRules = 16'384;
inline constexpr std::size_t kMaxLayers = 64;
inline constexpr std::size_t kMaxCredentials = 256;
inline constexpr std::size_t kMaxSecretBytes = 16'384;

// How a header carries a value: `before` + value + `after`; with `basic` it is
// "Basic " + base64(before + value).
struct HeaderForm {
  std::string name;  // in lower case; none that frames or routes a message
  std::string before;
  std::string after;
  bool basic = false;
  friend bool operator==(const HeaderForm&, const HeaderForm&) = default;
};

struct Credential {
  std::string name;
  std::vector<Target> hosts;           // names, never networks and never "*"
  std::vector<HeaderForm> headers;     // the one that the request carries, else the first
  std::string placeholder;             // what the guest holds instead
  std::optional<RequestPattern> only;  // requests that get it; nothing: all of the hosts'
  friend bool operator==(const Credential&, const Credential&) = default;
};

// Whether the name (as parse_host_name() gives it) and port are among the credential's.
[[nodiscard]] bool is_host_of(const Credential& credential, std::string_view name,
                              std::uint16_t port);

// Secrets by their credential's name: printable ASCII, so that none can end a header.
using Values = std::map<std::string, Secret, std::less<>>;

// Errors never quote a value.
[[nodiscard]] Result<Values> parse_values(std::string_view text);
[[nodiscard]] Result<Values> read_values(JsonValue document);

struct Settings {
  std::string sandbox;
  std::string container;  // 64 digits
  Policy policy;          // each rule with its layer
  std::vector<Credential> credentials;
  std::optional<UpstreamProxy> upstream_proxy;
  std::string ca_certificate;  // PEM; empty: TLS cannot be opened
  Secret ca_key;               // PEM
  std::shared_ptr<const Values> values;

  // As the policy decides, and `inspect` where a credential has to be put into what is allowed.
  [[nodiscard]] Decision decide_connection(const Peer& peer) const;
  // Nothing: not known on this host.
  [[nodiscard]] const Secret* value_of(const Credential& credential) const;
};

// Errors name the member: "/layers/1/rules/0: rule 'https://x': it is a URL; …".
[[nodiscard]] Result<Settings> parse_settings(std::string_view text,
                                              std::shared_ptr<const Values> values);
[[nodiscard]] Result<Settings> read_settings(JsonValue document,
                                             std::shared_ptr<const Values> values);

}  // namespace agentvm::egress
