#include "sandbox/store/workspace.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "oci/base/try.h"

namespace agentvm::sandbox {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSecrets[] = {
    ".ssh",  ".gnupg",         ".aws",       ".azure", ".docker",
    ".kube", ".config/gcloud", ".config/gh", ".netrc", ".local/share/keyrings"};
constexpr std::string_view kSystem[] = {"/proc", "/sys", "/dev", "/boot", "/etc"};
constexpr std::size_t kMaxName = 63;

std::string resolved(const std::string& path) {
  std::error_code code;
  const fs::path real = fs::weakly_canonical(path, code);
  return code ? path : real.string();
}

// Whether `path` is `directory` or below it.
bool is_within(std::string_view path, std::string_view directory) {
  if (directory == "/" || path == directory) return true;
  return path.starts_with(directory) && path[directory.size()] == '/';
}

std::unexpected<Error> refuse(std::string_view path, std::string_view why) {
  return fail(ErrorKind::invalid_argument,
              fmt::format("'{}' cannot be a workspace: {}; name a project's directory", path, why));
}

Result<void> check(const std::string& path, const Protected& hidden) {
  for (const std::string_view system : kSystem) {
    if (is_within(path, system)) return refuse(path, "it is the host's own");
  }
  for (const std::string& directory : hidden.directories) {
    if (is_within(directory, path)) {
      return refuse(path, path == directory ? "the sandbox would see too much of this host"
                                            : fmt::format("'{}' is in it", directory));
    }
  }
  for (const std::string& secret : hidden.secrets) {
    if (is_within(secret, path) || is_within(path, secret)) {
      return refuse(path, fmt::format("it would show the keys in '{}'", secret));
    }
  }
  return {};
}

}  // namespace

Protected protected_directories(const Place& place, const std::string& socket) {
  Protected hidden;
  hidden.directories = {"/home", resolved(place.directory), resolved(place.run_directory),
                        resolved(fs::path(socket).parent_path().string())};
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') {
    hidden.directories.push_back(resolved(home));
    for (const std::string_view secret : kSecrets) {
      hidden.secrets.push_back(resolved(fmt::format("{}/{}", home, secret)));
    }
  }
  return hidden;
}

Result<Workspace> parse_workspace(std::string_view text, const Protected& hidden) {
  Workspace workspace;
  if (text.ends_with(":ro") || text.ends_with(":rw")) {
    workspace.read_only = text.ends_with(":ro");
    text.remove_suffix(3);
  }
  if (text.empty()) return fail(ErrorKind::invalid_argument, "a workspace has no path");
  std::error_code code;
  const fs::path real = fs::canonical(text, code);
  if (code) return fail_errno(code.value(), fmt::format("workspace '{}'", text));
  if (!fs::is_directory(real, code)) {
    return fail(ErrorKind::invalid_argument, fmt::format("workspace '{}' is no directory", text));
  }
  workspace.path = real.string();
  TRY(check(workspace.path, hidden));
  return workspace;
}

std::string default_name(std::string_view agent, const std::string& workspace) {
  std::string name(agent);
  const std::string last = fs::path(workspace).filename().string();
  if (last.empty()) return name;
  name += '-';
  for (const char c : last) {
    const char low = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    const bool fine = (low >= 'a' && low <= 'z') || (low >= '0' && low <= '9') || low == '_' ||
                      low == '.' || low == '-';
    name += fine ? low : '-';
  }
  return name.substr(0, kMaxName);
}

}  // namespace agentvm::sandbox
