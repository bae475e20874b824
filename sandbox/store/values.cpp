#include "sandbox/store/values.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <ctime>

#include "egress/host.h"
#include "egress/upstream_proxy.h"
#include "oci/base/json_reader.h"
#include "oci/base/json_writer.h"
#include "oci/base/try.h"

namespace agentvm::sandbox {

namespace {

// How long what a command printed is taken for true: tokens of `gh` and clouds live longer.
constexpr std::time_t kCommandSeconds = 300;

// What earlier calls had in their environment: values.json cannot tell those from the stored.
std::string inherited_path(const Place& place, const std::string& sandbox) {
  return place.run_of(sandbox) + "/environment.json";
}

Result<ValueMap> load_inherited(const Place& place, const std::string& sandbox) {
  auto text = load_file(inherited_path(place, sandbox));
  if (!text && text.error().errnum == ENOENT) return ValueMap{};
  if (!text) return std::unexpected(std::move(text).error());
  auto values = parse_json<ValueMap>(*text);
  if (!values) return fail(ErrorKind::failed_precondition, "environment.json is broken");
  return values;
}

// The first variable that is set, unless a sandbox's placeholder stands in it.
Result<std::string> from_environment(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr || *value == '\0' || std::string_view(value) == kPlaceholder) continue;
    return TRY(clean_value(value), "environment variable {}", name);
  }
  return std::string();
}

Result<std::string> worth(const Place& place, const StoredSecret& secret) {
  if (secret.kind != SecretKind::command) return reveal(secret);
  const std::string cache = place.run_directory + "/.commands/" + secret.name;
  struct stat status{};
  if (::stat(cache.c_str(), &status) == 0 &&
      std::time(nullptr) - status.st_mtime < kCommandSeconds) {
    if (auto known = load_file(cache)) return known;
  }
  std::string value = TRY(reveal(secret));
  TRY(make_directory(place.run_directory + "/.commands", 0700));
  TRY(store_file(cache, value, 0600));
  return value;
}

Credential credential_of(const Service& service) {
  return {.name = service.name,
          .environment = service.environment,
          .hosts = service.hosts,
          .headers = service.headers,
          .method = service.method,
          .path = service.path};
}

Credential credential_of(const StoredSecret& secret) {
  return {.name = secret.name,
          .environment = secret.environment,
          .hosts = secret.hosts,
          .headers = secret.headers,
          .method = secret.method,
          .path = secret.path};
}

class Resolver {
 public:
  Resolver(const Place& place, const Catalog& catalog, std::string sandbox,
           std::vector<StoredSecret> secrets, ValueMap inherited)
      : place_(place),
        catalog_(catalog),
        sandbox_(std::move(sandbox)),
        secrets_(std::move(secrets)),
        inherited_(std::move(inherited)) {}

  Result<void> add_service(const std::string& name, bool needed) {
    if (std::ranges::find(out_.credentials, name, &Credential::name) != out_.credentials.end()) {
      return {};
    }
    const Service service = TRY(catalog_.service(name));
    const std::string value = TRY(value_of(service));
    if (value.empty() && !needed) return {};
    if (value.empty()) out_.missing.push_back(name);
    add(credential_of(service), value);
    return {};
  }

  void add_custom() {
    for (const StoredSecret& secret : secrets_) {
      if (secret.is_custom()) add(credential_of(secret), stored_value(secret));
    }
  }

  Result<Resolved> finish() {
    const std::string proxy = TRY(proxy_value());
    if (!proxy.empty()) out_.values[kUpstreamProxy] = proxy;
    TRY(store_file(inherited_path(place_, sandbox_), write_json(inherited_), 0600));
    return std::move(out_);
  }

 private:
  void add(Credential credential, const std::string& value) {
    if (!value.empty()) out_.values[credential.name] = value;
    out_.credentials.push_back(std::move(credential));
  }

  // A value that cannot be had is like one that is not there: the gateway then refuses.
  std::string stored_value(const StoredSecret& secret) {
    auto value = worth(place_, secret);
    if (value) return *value;
    out_.warnings.push_back(value.error().text());
    return {};
  }

  Result<std::string> value_of(const Service& service) {
    const auto stored = std::ranges::find_if(secrets_, [&](const StoredSecret& secret) {
      return secret.name == service.name && !secret.is_custom();
    });
    if (stored != secrets_.end()) return stored_value(*stored);
    return inherit(service.name, TRY(from_environment(service.environment)));
  }

  std::string inherit(const std::string& name, const std::string& now) {
    if (!now.empty()) inherited_[name] = now;
    const auto known = inherited_.find(name);
    return known == inherited_.end() ? std::string() : known->second;
  }

  // What the gateway cannot use is told and left out: a sandbox is another network than the host.
  Result<std::string> proxy_value() {
    const std::string now = TRY(from_environment({"HTTPS_PROXY", "https_proxy"}));
    if (now.empty()) return inherit(kUpstreamProxy, now);
    const auto proxy = egress::parse_upstream_proxy(now);
    if (!proxy) return fail(ErrorKind::invalid_argument, "HTTPS_PROXY: " + proxy.error().text());
    const auto address = egress::parse_address(proxy->host);
    const char* kind = address ? egress::reserved_for(*address) : nullptr;
    if (proxy->host == "localhost" || (kind != nullptr && std::string_view(kind) == "loopback")) {
      out_.warnings.emplace_back(
          "HTTPS_PROXY names this host's loopback, where no sandbox reaches it: it is not used");
      return std::string();
    }
    return inherit(kUpstreamProxy, now);
  }

  const Place& place_;
  const Catalog& catalog_;
  std::string sandbox_;
  std::vector<StoredSecret> secrets_;
  ValueMap inherited_;
  Resolved out_;
};

}  // namespace

Result<Resolved> resolve(const Place& place, const Catalog& catalog, const Agent& agent,
                         const std::string& sandbox) {
  TRY(make_directory(place.run_of(sandbox), 0711));
  std::vector<StoredSecret> secrets = TRY(load_secrets(place));
  ValueMap inherited = TRY(load_inherited(place, sandbox));
  Resolver resolver(place, catalog, sandbox, std::move(secrets), std::move(inherited));
  for (const std::string& name : agent.credentials) TRY(resolver.add_service(name, true));
  for (const std::string& name : agent.optional_credentials) {
    TRY(resolver.add_service(name, false));
  }
  resolver.add_custom();
  return resolver.finish();
}

Result<void> store_values(const Place& place, const std::string& sandbox, const ValueMap& values) {
  TRY(make_directory(place.run_of(sandbox), 0711));
  return store_file(place.run_of(sandbox) + "/values.json", values_json(values), 0600);
}

}  // namespace agentvm::sandbox
