// gateway.json and values.json: what is taken holds its limits, and decides about any peer.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "egress/settings.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace agentvm::egress;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto values = parse_values(text);
  const auto known = std::make_shared<const Values>(values ? std::move(*values) : Values());
  const auto settings = parse_settings(text, known);
  if (!settings) return 0;
  if (settings->policy.rules().size() > kMaxSettingsRules) std::abort();
  if (settings->credentials.size() > kMaxCredentials) std::abort();
  for (const Credential& credential : settings->credentials) {
    if (credential.hosts.empty() || credential.headers.empty()) std::abort();
    if (is_host_of(credential, "", 443)) std::abort();
  }
  (void)settings->decide_connection({"www.example.com", {}, 443});
  return 0;
}
