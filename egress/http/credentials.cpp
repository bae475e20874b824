#include "egress/http/credentials.h"

#include <fmt/format.h>

#include <algorithm>

#include "egress/path_glob.h"
#include "oci/base/try.h"

namespace agentvm::egress::http {

namespace {

Secret format_value(const HeaderForm& form, std::string_view value) {
  std::string text = form.before;
  // No growing on the way: it would leave a copy behind.
  text.reserve(form.before.size() + value.size() + form.after.size());
  text += value;
  text += form.after;
  Secret formatted = form.basic ? basic_authorization(text) : Secret(text);
  ::explicit_bzero(text.data(), text.size());
  return formatted;
}

bool carries_any(const Credential& credential, const Fields& fields) {
  return std::ranges::any_of(credential.headers,
                             [&](const HeaderForm& form) { return fields.contains(form.name); });
}

const HeaderForm& choose_form(const Credential& credential, const Fields& fields) {
  const auto carried = std::ranges::find_if(
      credential.headers, [&](const HeaderForm& form) { return fields.contains(form.name); });
  return carried == credential.headers.end() ? credential.headers.front() : *carried;
}

bool is_for(const Credential& credential, const AskedFor& asked) {
  if (!credential.only) return true;
  const auto path = plain_path(asked.target);
  return path && is_meant(*credential.only, asked.method, *path);
}

bool has_field(const Injection& injection, std::string_view name) {
  return std::ranges::find(injection.fields, name, &SecretField::name) != injection.fields.end();
}

std::unexpected<Error> refuse(const Credential& credential, const AskedFor& asked,
                              std::string_view why) {
  return fail(
      ErrorKind::failed_precondition,
      fmt::format("credential '{}' of {}: {}", credential.name, asked.destination.name, why));
}

void put_in(Injection& injection, const Credential& credential, const HeaderForm& form,
            const Secret& value) {
  SecretField field{form.name, format_value(form, value.reveal())};
  injection.names.push_back(credential.name);
  injection.echoes.push_back({Secret(value.reveal()), credential.placeholder});
  if (form.basic) {
    // The part behind "Basic ": it says the same.
    constexpr std::size_t kScheme = 6;
    injection.echoes.push_back(
        {Secret(field.value.reveal().substr(kScheme)), credential.placeholder});
  }
  injection.fields.push_back(std::move(field));
}

}  // namespace

Result<Injection> inject(const Settings& settings, const AskedFor& asked, Fields& fields) {
  Injection injection;
  std::vector<const Credential*> managed;
  for (const Credential& credential : settings.credentials) {
    if (is_host_of(credential, asked.destination.name, asked.destination.port)) {
      managed.push_back(&credential);
    }
  }
  if (managed.empty()) return injection;
  for (const Credential* credential : managed) {
    if (!asked.over_tls || !is_for(*credential, asked)) continue;
    const HeaderForm& form = choose_form(*credential, fields);
    if (has_field(injection, form.name)) continue;
    if (const Secret* value = settings.value_of(*credential)) {
      put_in(injection, *credential, form, *value);
    }
  }
  // What another credential has replaced is replaced.
  Fields left = fields;
  for (const SecretField& field : injection.fields) left.remove(field.name);
  for (const Credential* credential : managed) {
    if (!carries_any(*credential, left)) continue;
    const bool put = std::ranges::find(injection.names, credential->name) != injection.names.end();
    if (put) continue;
    if (!asked.over_tls) {
      return refuse(*credential, asked, "it travels over TLS alone; use https");
    }
    if (!is_for(*credential, asked)) {
      return refuse(*credential, asked,
                    "it is for other requests, and a key of the sandbox's own is not sent there");
    }
    return refuse(*credential, asked,
                  fmt::format("no value is known; on the host: agentvm sandbox secret set {}",
                              credential->name));
  }
  for (const Credential* credential : managed) {
    for (const HeaderForm& form : credential->headers) {
      fields.remove(form.name);
      injection.managed.push_back(form.name);
    }
  }
  return injection;
}

bool is_managed(const Injection& injection, std::string_view name) {
  return std::ranges::any_of(injection.managed,
                             [&](std::string_view managed) { return same_word(managed, name); });
}

void scrub(const Injection& injection, std::string& text) {
  for (const Injection::Echo& echo : injection.echoes) {
    const std::string_view secret = echo.text.reveal();
    if (secret.size() < kMinEcho) continue;
    for (std::size_t at = text.find(secret); at != std::string::npos;
         at = text.find(secret, at + echo.instead.size())) {
      text.replace(at, secret.size(), echo.instead);
    }
  }
}

void scrub(const Injection& injection, Fields& fields) {
  if (injection.echoes.empty()) return;
  for (Field& field : fields.list()) scrub(injection, field.value);
}

}  // namespace agentvm::egress::http
