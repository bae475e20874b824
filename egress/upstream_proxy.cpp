#include "egress/upstream_proxy.h"

#include <string.h>

#include <charconv>

#include "egress/rule.h"
#include "oci/base/try.h"

namespace agentvm::egress {

namespace {

// What a URL's user and password stand for.
Result<std::string> decode_percent(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain += text[i];
      continue;
    }
    unsigned char value = 0;
    const std::string_view digits = text.substr(i + 1, 2);
    const auto [end, code] = std::from_chars(digits.begin(), digits.end(), value, 16);
    if (digits.size() != 2 || code != std::errc() || end != digits.end()) {
      return fail(ErrorKind::invalid_argument, "the upstream proxy's user has a broken escape");
    }
    plain += static_cast<char>(value);
    i += 2;
  }
  return plain;
}

}  // namespace

const Network& stand_ins() {
  static const Network kNetwork = parse_network("198.18.0.0/15").value();
  return kNetwork;
}

Result<UpstreamProxy> parse_upstream_proxy(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) {
    return fail(ErrorKind::invalid_argument, "the upstream proxy is no URL of http://");
  }
  url.remove_prefix(kScheme.size());
  if (url.ends_with('/')) url.remove_suffix(1);
  UpstreamProxy proxy;
  if (const std::size_t at = url.rfind('@'); at != std::string_view::npos) {
    std::string user = TRY(decode_percent(url.substr(0, at)));
    proxy.authorization = basic_authorization(user);
    ::explicit_bzero(user.data(), user.size());
    url.remove_prefix(at + 1);
  }
  const auto target = parse_target(url);
  if (!target || (target->scope != Scope::exact && target->scope != Scope::network)) {
    return fail(ErrorKind::invalid_argument, "the upstream proxy's URL has no host");
  }
  const bool named = target->scope == Scope::exact;
  if (!named && target->network.prefix != 128) {
    return fail(ErrorKind::invalid_argument, "the upstream proxy's URL has no host");
  }
  proxy.host = named ? target->name : to_text(target->network.address);
  proxy.port = target->port.value_or(80);
  return proxy;
}

}  // namespace agentvm::egress
