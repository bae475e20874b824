#include "sandbox/store/secrets.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <span>

#include "oci/base/json_reader.h"
#include "oci/base/json_writer.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "sandbox/store/program.h"

namespace agentvm::sandbox {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxSecret = 16'384;  // as the gateway takes them

std::string directory_of(const Place& place) {
  return place.directory + "/.secrets";
}

std::string path_of(const Place& place, const std::string& name) {
  return directory_of(place) + "/" + name + ".json";
}

// Nothing: this host cannot (no systemd-creds, no key of the host).
std::optional<std::string> seal(const std::string& name, const std::string& value) {
  auto sealed =
      run_program({"systemd-creds", "encrypt", "--name=agentvm-" + name, "-", "-"}, value);
  if (!sealed || sealed->status != 0 || sealed->output.empty()) return std::nullopt;
  std::erase_if(sealed->output, [](char c) { return c == '\n' || c == ' '; });
  return std::move(sealed->output);
}

Result<std::string> unseal(const StoredSecret& secret) {
  auto opened = TRY(run_program(
      {"systemd-creds", "decrypt", "--name=agentvm-" + secret.name, "-", "-"}, secret.content));
  if (opened.status != 0) {
    return fail(ErrorKind::unavailable,
                fmt::format("systemd-creds cannot open it ({}): it was sealed on another host, or "
                            "the host's key has changed; set it again",
                            describe_wait_status(opened.status)));
  }
  return std::move(opened.output);
}

// A command line that the user wrote, with a shell's quotes.
Result<std::string> ask(const StoredSecret& secret) {
  auto asked = TRY(run_program({"/bin/sh", "-c", secret.content}, "", /*quiet=*/false));
  if (asked.status != 0) {
    return fail(ErrorKind::unavailable, fmt::format("its command '{}' {}", secret.content,
                                                    describe_wait_status(asked.status)));
  }
  return clean_value(std::move(asked.output));
}

}  // namespace

std::span<const JsonWord<SecretKind>> json_words(SecretKind /*of*/) {
  static constexpr JsonWord<SecretKind> kWords[] = {{"sealed", SecretKind::sealed},
                                                    {"plain", SecretKind::plain},
                                                    {"command", SecretKind::command}};
  return kWords;
}

Result<std::string> clean_value(std::string text) {
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  const bool printable = std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
  if (text.empty()) return fail(ErrorKind::invalid_argument, "the value is empty");
  if (text.size() > kMaxSecret || !printable) {
    return fail(ErrorKind::invalid_argument,
                "the value must be one line of at most 16384 printable ASCII characters");
  }
  return text;
}

Result<void> store_secret(const Place& place, StoredSecret secret, const std::string& value) {
  TRY(check_sandbox_name(secret.name), "secret");
  if (secret.kind != SecretKind::command) {
    auto sealed = seal(secret.name, value);
    secret.kind = sealed ? SecretKind::sealed : SecretKind::plain;
    secret.content = sealed ? *std::move(sealed) : value;
  }
  TRY(make_directory(directory_of(place), 0700));
  return store_file(path_of(place, secret.name), write_json(secret) + "\n", 0600);
}

Result<std::vector<StoredSecret>> load_secrets(const Place& place) {
  std::vector<StoredSecret> secrets;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(directory_of(place), code)) {
    if (entry.path().extension() != ".json") continue;
    const std::string path = entry.path().string();
    const std::string text = TRY(load_file(path));
    auto secret = parse_json<StoredSecret>(text);
    // The reader's words might show what is in it.
    if (!secret || secret->version != 1 || secret->name != entry.path().stem().string()) {
      return fail(ErrorKind::failed_precondition, fmt::format("'{}' is no stored secret", path));
    }
    secrets.push_back(*std::move(secret));
  }
  if (code && code.value() != ENOENT) {
    return fail_errno(code.value(), fmt::format("read '{}'", directory_of(place)));
  }
  std::ranges::sort(secrets, {}, &StoredSecret::name);
  return secrets;
}

Result<void> remove_secret(const Place& place, const std::string& name) {
  TRY(check_sandbox_name(name), "secret");
  if (::unlink(path_of(place, name).c_str()) == 0) return {};
  if (errno != ENOENT) return fail_errno(errno, fmt::format("remove secret '{}'", name));
  return fail(ErrorKind::not_found, fmt::format("there is no secret '{}'", name));
}

Result<std::string> reveal(const StoredSecret& secret) {
  switch (secret.kind) {
    case SecretKind::plain:
      return secret.content;
    case SecretKind::sealed:
      return TRY(unseal(secret), "secret '{}'", secret.name);
    case SecretKind::command:
      return TRY(ask(secret), "secret '{}'", secret.name);
  }
  return secret.content;
}

}  // namespace agentvm::sandbox
