#include "oci/spec_parser.h"

#include <fmt/format.h>

#include <algorithm>

#include "oci/base/json_reader.h"
#include "oci/base/try.h"
#include "oci/spec_fields.h"

namespace agentvm::oci {

namespace {

constexpr std::string_view kDigits = "0123456789";

// The text up to `end` (all of it without one), which goes from `rest` together with the `end`.
std::string_view take_until(std::string_view& rest, char end) {
  const auto at = rest.find(end);
  const std::string_view taken = rest.substr(0, at);
  rest.remove_prefix(at == rest.npos ? rest.size() : at + 1);
  return taken;
}

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of(kDigits) == text.npos &&
         (text.size() == 1 || text.front() != '0');
}

// Dot-separated identifiers behind - or +.
bool is_identifiers(std::string_view text) {
  constexpr std::string_view kAllowed =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-.";
  const auto both_dots = [](char a, char b) { return a == '.' && b == '.'; };
  return !text.empty() && text.find_first_not_of(kAllowed) == text.npos && text.front() != '.' &&
         text.back() != '.' && std::ranges::adjacent_find(text, both_dots) == text.end();
}

// SemVer 2.0.0: the major number, nothing when `version` is none.
std::optional<std::string_view> major_of(std::string_view version) {
  const auto plus = version.find('+');
  if (plus != version.npos && !is_identifiers(version.substr(plus + 1))) return std::nullopt;
  version = version.substr(0, plus);
  const auto minus = version.find('-');
  if (minus != version.npos && !is_identifiers(version.substr(minus + 1))) return std::nullopt;
  version = version.substr(0, minus);
  const auto dots = std::ranges::count(version, '.');
  const std::string_view major = take_until(version, '.');
  const std::string_view minor = take_until(version, '.');
  if (dots != 2 || !is_number(major) || !is_number(minor) || !is_number(version)) {
    return std::nullopt;
  }
  return major;
}

// Before anything else: a document of another major version would fail with misleading words.
Result<void> check_version(JsonValue root) {
  const auto member = root.find("ociVersion");
  if (!member) return {};  // the field list says so
  const std::string_view version = TRY(member->as_string());
  const auto major = major_of(version);
  if (!major) {
    return member->fail(
        fmt::format("must be a semantic version like 1.2.0, found {}", member->described()));
  }
  if (*major == "1") return {};
  return fail(ErrorKind::invalid_argument,
              fmt::format("unsupported ociVersion {}: this runtime implements {} to {}",
                          member->described(), kOciVersionMin, kOciVersionMax));
}

}  // namespace

Result<Spec> parse_spec(std::string_view json) {
  const JsonDocument document = TRY(JsonDocument::parse(json));
  TRY(check_version(document.root()));
  Spec spec;
  JsonUnknown unknown;
  TRY(read_json(document.root(), spec, &unknown));
  // As runc: a destination is taken from the container's root, written so or not.
  for (Mount& mount : spec.mounts) {
    if (!mount.destination.starts_with('/')) mount.destination.insert(0, "/");
  }
  spec.unknown_members = unknown.take();
  return spec;
}

Result<Process> parse_process(std::string_view json) {
  return parse_json<Process>(json);
}
Result<Resources> parse_resources(std::string_view json) {
  return parse_json<Resources>(json);
}

}  // namespace agentvm::oci
