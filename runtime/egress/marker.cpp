#include "runtime/egress/marker.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

constexpr std::size_t kMaxName = 63;

bool may_begin(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

Result<std::optional<std::string>> in_environment(const oci::Spec& spec) {
  std::optional<std::string> found;
  if (!spec.process) return found;
  const std::string_view variable = kSandboxVariable;
  for (const std::string_view entry : spec.process->env) {
    const std::string_view name = entry.substr(0, entry.find('='));
    const std::string_view value = entry.substr(std::min(entry.size(), variable.size() + 1));
    if (name != variable || value.empty()) continue;
    if (found) {
      return fail(ErrorKind::invalid_argument,
                  fmt::format("{} is set twice in the environment: a container is one agent "
                              "sandbox at most",
                              variable));
    }
    found = value;
  }
  return found;
}

Result<void> check_name(std::string_view where, const std::string& name) {
  if (is_sandbox_name(name)) return {};
  return fail(ErrorKind::invalid_argument,
              fmt::format("{} names no agent sandbox: a name is 1 to {} of a-z, 0-9, '_', '.' and "
                          "'-', and begins with a letter or digit; leave it out for a container "
                          "that is none",
                          where, kMaxName));
}

}  // namespace

bool is_sandbox_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && may_begin(name.front()) &&
         std::ranges::all_of(
             name, [](char c) { return may_begin(c) || c == '_' || c == '.' || c == '-'; });
}

Result<std::string> find_sandbox_name(const oci::Spec& spec) {
  const auto variable = TRY(in_environment(spec));
  if (variable) TRY(check_name(kSandboxVariable, *variable));
  const auto annotation = spec.annotations.find(kSandboxAnnotation);
  if (annotation == spec.annotations.end()) return variable.value_or("");
  TRY(check_name(fmt::format("annotation '{}'", kSandboxAnnotation), annotation->second));
  if (variable && *variable != annotation->second) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("{} names agent sandbox '{}' and annotation '{}' names '{}': a "
                            "container is one",
                            kSandboxVariable, *variable, kSandboxAnnotation, annotation->second));
  }
  return annotation->second;
}

}  // namespace agentvm::runtime
