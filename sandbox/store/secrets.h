// Secrets as the user stored them, for all sandboxes: a value sealed by systemd-creds(1) where that
// works, else in a file for its owner alone, or a command that prints it. Errors never quote one.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "oci/base/error.h"
#include "oci/base/json_fields.h"
#include "sandbox/catalog/rules.h"
#include "sandbox/store/gateway_file.h"
#include "sandbox/store/place.h"

namespace agentvm::sandbox {

enum class SecretKind : std::uint8_t {
  sealed,   // by systemd-creds: of use on this host alone
  plain,    // a file with mode 0600
  command,  // asked when it is needed
};

struct StoredSecret {
  unsigned version = 1;
  std::string name;
  SecretKind kind = SecretKind::plain;
  std::string content;  // sealed: base64; plain: the value; command: for sh -c
  // Of a secret that is no service of the catalog: what it is sent to, and how.
  std::vector<std::string> hosts;
  std::vector<HeaderText> headers;
  std::vector<std::string> environment;
  std::string method;
  std::string path;
  [[nodiscard]] bool is_custom() const { return !hosts.empty(); }
  friend bool operator==(const StoredSecret&, const StoredSecret&) = default;
};

[[nodiscard]] std::span<const JsonWord<SecretKind>> json_words(SecretKind of);

void json_fields(auto& io, Like<StoredSecret> auto& secret) {
  io.required("version", secret.version);
  io.required("name", secret.name);
  io.required("kind", secret.kind);
  io.required("content", secret.content);
  io.optional("hosts", secret.hosts);
  io.optional("headers", secret.headers);
  io.optional("environment", secret.environment);
  io.optional("method", secret.method);
  io.optional("path", secret.path);
}

// Without what ends a line; invalid_argument for what no header can carry.
[[nodiscard]] Result<std::string> clean_value(std::string text);

// `value` replaces the content: sealed where this host can, unless the kind is command.
[[nodiscard]] Result<void> store_secret(const Place& place, StoredSecret secret,
                                        const std::string& value);
[[nodiscard]] Result<std::vector<StoredSecret>> load_secrets(const Place& place);
// not_found when there is none of that name.
[[nodiscard]] Result<void> remove_secret(const Place& place, const std::string& name);
// What it is worth now. A command is run, as the user who calls.
[[nodiscard]] Result<std::string> reveal(const StoredSecret& secret);

}  // namespace agentvm::sandbox
