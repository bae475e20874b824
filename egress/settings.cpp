#include "egress/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "egress/host.h"
#include "oci/base/json_fields.h"
#include "oci/base/try.h"

namespace agentvm::egress {

namespace {

constexpr JsonLimits kLimits{.bytes = kMaxSettingsBytes, .depth = 8, .values = 131'072};
constexpr std::size_t kMaxWord = 256;
constexpr std::size_t kMaxName = 63;
constexpr std::size_t kMaxHosts = 64;
constexpr std::size_t kMaxHeaders = 16;
constexpr std::size_t kMaxPem = 65'536;
constexpr std::string_view kBasic = "basic:";
constexpr std::string_view kProxyValue = "upstream-proxy";

// The documents as they are written.
struct RuleText {
  bool allow = true;
  std::string target, method, path;
};
struct LayerText {
  std::string name;
  std::vector<RuleText> rules;
};
struct HeaderText {
  std::string name, format;
};
struct CredentialText {
  std::string name;
  std::vector<std::string> hosts;
  std::vector<HeaderText> headers;
  std::string placeholder = "proxy-managed", method, path;
};
enum class Otherwise : std::uint8_t { deny, allow };
struct SettingsText {
  unsigned version = 0;
  std::string sandbox, container;
  Otherwise otherwise = Otherwise::deny;
  std::vector<LayerText> layers;
  std::vector<CredentialText> credentials;
  std::string upstream_proxy, ca_certificate, ca_key;
};

std::span<const JsonWord<Otherwise>> json_words(Otherwise /*of*/) {
  static constexpr JsonWord<Otherwise> kWords[] = {{"deny", Otherwise::deny},
                                                   {"allow", Otherwise::allow}};
  return kWords;
}

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
}

bool is_small(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

std::string_view is_name(const std::string& text) {
  const bool fine = !text.empty() && text.size() <= kMaxName && is_small(text[0]) &&
                    std::ranges::all_of(text, [](char c) {
                      return is_small(c) || c == '_' || c == '.' || c == '-';
                    });
  return fine ? "" : "must be 1 to 63 of a-z, 0-9, '_', '.', '-', a letter or digit first";
}

std::string_view is_word(const std::string& text) {
  return text.size() <= kMaxWord && is_printable(text)
             ? ""
             : "must be at most 256 printable ASCII characters";
}

std::string_view is_container(const std::string& text) {
  const bool fine = text.size() == 64 && std::ranges::all_of(text, [](char c) {
                      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                    });
  return fine ? "" : "must be a container's id, 64 digits of 0-9 and a-f";
}

template <std::size_t kMost>
std::string_view is_few(const auto& list) {
  static const std::string kText = fmt::format("must have at most {} entries", kMost);
  return list.size() <= kMost ? std::string_view() : kText;
}

std::string_view is_version(unsigned version) {
  return version == 1 ? "" : "must be 1";
}

void json_fields(auto& io, Like<RuleText> auto& rule) {
  io.required("allow", rule.allow);
  io.required("target", rule.target);
  io.optional("method", rule.method);
  io.optional("path", rule.path);
}

void json_fields(auto& io, Like<LayerText> auto& layer) {
  io.required("name", layer.name, is_word);
  io.required("rules", layer.rules);
}

void json_fields(auto& io, Like<HeaderText> auto& header) {
  io.required("name", header.name, is_word);
  io.required("format", header.format, is_word);
}

void json_fields(auto& io, Like<CredentialText> auto& credential) {
  io.required("name", credential.name, is_name);
  io.required("hosts", credential.hosts, [](const std::vector<std::string>& hosts) {
    return hosts.empty() ? "must name a host" : is_few<kMaxHosts>(hosts);
  });
  io.required("headers", credential.headers, [](const std::vector<HeaderText>& headers) {
    return headers.empty() ? "must name a header" : is_few<kMaxHeaders>(headers);
  });
  io.optional("placeholder", credential.placeholder, is_word);
  io.optional("method", credential.method);
  io.optional("path", credential.path);
}

void json_fields(auto& io, Like<SettingsText> auto& settings) {
  io.required("version", settings.version, is_version);
  io.required("sandbox", settings.sandbox, is_name);
  io.required("container", settings.container, is_container);
  io.required("default", settings.otherwise);
  io.optional("layers", settings.layers,
              [](const std::vector<LayerText>& layers) { return is_few<kMaxLayers>(layers); });
  io.optional("credentials", settings.credentials, [](const std::vector<CredentialText>& list) {
    return is_few<kMaxCredentials>(list);
  });
  // Without checks: their errors would show what was found.
  io.optional("upstream_proxy", settings.upstream_proxy);
  io.object("ca", true, [&](auto& ca) {
    ca.required("certificate", settings.ca_certificate);
    ca.required("key", settings.ca_key);
  });
}

// A document that is read whole: members that nobody asked for are refused.
template <class T>
Result<T> read_known(JsonValue document) {
  JsonUnknown unknown;
  T read;
  TRY(read_json(document, read, &unknown));
  if (!unknown.pointers().empty()) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("{}: this version knows no such member", unknown.pointers().front()));
  }
  return read;
}

Result<std::vector<Rule>> read_rules(const std::vector<LayerText>& layers) {
  std::vector<Rule> rules;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    for (std::size_t j = 0; j < layers[i].rules.size(); ++j) {
      if (rules.size() == kMaxSettingsRules) {
        return fail(ErrorKind::invalid_argument,
                    fmt::format("/layers: more than {} rules", kMaxSettingsRules));
      }
      const RuleText& text = layers[i].rules[j];
      Rule rule = TRY(parse_rule(text.allow, text.target, text.method, text.path),
                      "/layers/{}/rules/{}", i, j);
      rule.layer = layers[i].name;
      rules.push_back(std::move(rule));
    }
  }
  return rules;
}

// Headers that say where a message ends or goes: a value in one would make another message of it.
constexpr std::string_view kForbiddenHeaders[] = {
    "connection", "content-length",    "expect",  "host", "keep-alive", "te",
    "trailer",    "transfer-encoding", "upgrade", "via"};

Result<HeaderForm> read_header(const HeaderText& text) {
  HeaderForm form;
  for (const char c : text.name) {
    const char low = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (!is_small(low) && low != '-' && low != '_') {
      return fail(ErrorKind::invalid_argument, "a header's name has letters, digits, '-' and '_'");
    }
    form.name += low;
  }
  if (form.name.empty()) return fail(ErrorKind::invalid_argument, "a header without a name");
  if (std::ranges::find(kForbiddenHeaders, form.name) != std::end(kForbiddenHeaders) ||
      form.name.starts_with("proxy-")) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("header '{}' is no place for a credential", form.name));
  }
  if (text.format.starts_with(kBasic)) {
    form.basic = true;
    form.before = text.format.substr(kBasic.size()) + ":";
    return form;
  }
  const std::size_t place = text.format.find("{}");
  if (place == std::string::npos || text.format.find("{}", place + 2) != std::string::npos) {
    return fail(ErrorKind::invalid_argument,
                "a format has one '{}', or is 'basic:' and a user's name");
  }
  form.before = text.format.substr(0, place);
  form.after = text.format.substr(place + 2);
  return form;
}

Result<Credential> read_credential(const CredentialText& text) {
  Credential credential;
  credential.name = text.name;
  credential.placeholder = text.placeholder;
  for (const std::string& host : text.hosts) {
    Rule rule = TRY(parse_rule(true, host, text.method, text.path));
    if (rule.target.scope == Scope::any || rule.target.scope == Scope::network) {
      return fail(ErrorKind::invalid_argument,
                  fmt::format("'{}': a credential is for hosts with names", host));
    }
    credential.hosts.push_back(std::move(rule.target));
    credential.only = std::move(rule.request);
  }
  for (const HeaderText& header : text.headers) {
    credential.headers.push_back(TRY(read_header(header)));
  }
  return credential;
}

Result<std::vector<Credential>> read_credentials(const std::vector<CredentialText>& texts) {
  std::vector<Credential> credentials;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    Credential credential = TRY(read_credential(texts[i]), "/credentials/{}", i);
    if (std::ranges::find(credentials, credential.name, &Credential::name) != credentials.end()) {
      return fail(ErrorKind::invalid_argument,
                  fmt::format("/credentials/{}: '{}' is there twice", i, credential.name));
    }
    credentials.push_back(std::move(credential));
  }
  return credentials;
}

Result<std::optional<UpstreamProxy>> read_proxy(std::string_view url, const Values& values) {
  std::string_view from = "/upstream_proxy";
  if (const auto value = values.find(kProxyValue); value != values.end()) {
    url = value->second.reveal();
    from = "value upstream-proxy";
  }
  if (url.empty()) return std::nullopt;
  return TRY(parse_upstream_proxy(url), "{}", from);
}

bool is_about(const Target& target, std::string_view name) {
  switch (target.scope) {
    case Scope::any:
    case Scope::network:
      return false;
    case Scope::exact:
      return name == target.name;
    case Scope::one_label: {
      const std::size_t dot = name.find('.');
      return dot != std::string_view::npos && name.substr(dot + 1) == target.name;
    }
    case Scope::any_depth:
      return name.size() > target.name.size() && name.ends_with(target.name) &&
             name[name.size() - target.name.size() - 1] == '.';
  }
  return false;
}

}  // namespace

bool is_host_of(const Credential& credential, std::string_view name, std::uint16_t port) {
  return std::ranges::any_of(credential.hosts, [&](const Target& target) {
    return (!target.port || *target.port == port) && is_about(target, name);
  });
}

Result<Values> read_values(JsonValue document) {
  JsonUnknown unknown;
  JsonObject object(document, &unknown);
  unsigned version = 0;
  object.required("version", version, is_version);
  const auto given = object.value("values");
  TRY(object.done());
  if (!unknown.pointers().empty()) {
    return fail(ErrorKind::invalid_argument, "values: this version knows no other member");
  }
  Values values;
  if (!given) return values;
  TRY(given->expect(JsonKind::object));
  if (given->size() > kMaxCredentials + 1) {
    return fail(ErrorKind::invalid_argument, "/values: too many");
  }
  for (std::size_t i = 0; i < given->size(); ++i) {
    const JsonValue member = given->item(i);
    const auto text = member.as_string();
    if (!text || text->size() > kMaxSecretBytes || text->empty() || !is_printable(*text)) {
      return member.fail("must be 1 to 16384 printable ASCII characters");
    }
    values.emplace(member.key(), Secret(*text));
  }
  return values;
}

Result<Values> parse_values(std::string_view text) {
  const JsonDocument document = TRY(JsonDocument::parse(text, kLimits));
  return read_values(document.root());
}

Decision Settings::decide_connection(const Peer& peer) const {
  Decision decision = policy.decide_connection(peer);
  if (decision.verdict != Verdict::allow) return decision;
  for (const Credential& credential : credentials) {
    if (!is_host_of(credential, peer.name, peer.port)) continue;
    decision.verdict = Verdict::inspect;
    break;
  }
  return decision;
}

const Secret* Settings::value_of(const Credential& credential) const {
  const auto found = values->find(credential.name);
  return found == values->end() ? nullptr : &found->second;
}

Result<Settings> read_settings(JsonValue document, std::shared_ptr<const Values> values) {
  SettingsText text = TRY(read_known<SettingsText>(document));
  std::vector<Rule> rules = TRY(read_rules(text.layers));
  std::vector<Credential> credentials = TRY(read_credentials(text.credentials));
  auto proxy = TRY(read_proxy(text.upstream_proxy, *values));
  Policy policy = TRY(Policy::create(std::move(rules), text.otherwise == Otherwise::allow,
                                     proxy ? std::optional(stand_ins()) : std::nullopt),
                      "/layers");
  if (text.ca_certificate.size() > kMaxPem || text.ca_key.size() > kMaxPem) {
    return fail(ErrorKind::invalid_argument, "/ca: certificate and key have at most 64 KiB each");
  }
  Secret key(text.ca_key);
  ::explicit_bzero(text.ca_key.data(), text.ca_key.size());
  ::explicit_bzero(text.upstream_proxy.data(), text.upstream_proxy.size());
  return Settings{.sandbox = std::move(text.sandbox),
                  .container = std::move(text.container),
                  .policy = std::move(policy),
                  .credentials = std::move(credentials),
                  .upstream_proxy = std::move(proxy),
                  .ca_certificate = std::move(text.ca_certificate),
                  .ca_key = std::move(key),
                  .values = std::move(values)};
}

Result<Settings> parse_settings(std::string_view text, std::shared_ptr<const Values> values) {
  const JsonDocument document = TRY(JsonDocument::parse(text, kLimits));
  return read_settings(document.root(), std::move(values));
}

}  // namespace agentvm::egress
