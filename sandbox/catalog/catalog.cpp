#include "sandbox/catalog/catalog.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "sandbox/catalog/toml_reader.h"

namespace agentvm::sandbox {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kAgents = "agents";
constexpr std::string_view kServices = "services";
constexpr std::string_view kPresets = "presets";

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= 63 && name[0] != '.' && name[0] != '-' &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                  c == '.';
         });
}

// Whoever can write the file chooses what a sandbox reaches and runs.
Result<std::string> read_trusted(const std::string& path) {
  const auto fd = TRY(sys::open_at(AT_FDCWD, path, O_RDONLY));
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return fail_errno(errno, fmt::format("stat '{}'", path));
  if ((status.st_uid != 0 && status.st_uid != ::geteuid()) || (status.st_mode & 0022) != 0) {
    return fail(
        ErrorKind::failed_precondition,
        fmt::format("'{}' can be written by others than you and root: it is not read", path));
  }
  return TRY(sys::read_all(fd.get(), kMaxTomlBytes), "'{}'", path);
}

}  // namespace

template <class T>
Result<T> Catalog::load(std::string_view kind, const std::string& name,
                        Result<T> (*parse)(std::string_view, const std::string&)) const {
  if (is_name(name)) {
    for (const std::string& directory : directories_) {
      const std::string path = fmt::format("{}/{}/{}.toml", directory, kind, name);
      auto text = read_trusted(path);
      if (text) return parse(*text, path);
      if (text.error().errnum != ENOENT) return std::unexpected(std::move(text).error());
    }
  }
  return fail(ErrorKind::not_found, fmt::format("there is no '{}' among the {}: {}", name, kind,
                                                fmt::join(names(kind), ", ")));
}

Result<Agent> Catalog::agent(const std::string& name) const {
  auto found = load<Agent>(kAgents, name, parse_agent);
  if (found || found.error().kind != ErrorKind::not_found) return found;
  for (const std::string& other : names(kAgents)) {
    auto agent = load<Agent>(kAgents, other, parse_agent);
    if (agent && std::ranges::find(agent->aliases, name) != agent->aliases.end()) return agent;
  }
  return found;
}

Result<Service> Catalog::service(const std::string& name) const {
  return load<Service>(kServices, name, parse_service);
}

Result<Preset> Catalog::preset(const std::string& name) const {
  return load<Preset>(kPresets, name, parse_preset);
}

std::vector<std::string> Catalog::names(std::string_view kind) const {
  std::set<std::string> names;
  for (const std::string& directory : directories_) {
    std::error_code code;
    for (const auto& entry : fs::directory_iterator(fmt::format("{}/{}", directory, kind), code)) {
      const fs::path& path = entry.path();
      if (path.extension() == ".toml" && is_name(path.stem().string())) {
        names.insert(path.stem().string());
      }
    }
  }
  return {names.begin(), names.end()};
}

std::vector<std::string> catalog_directories(const std::string& installed) {
  std::vector<std::string> directories;
  const char* config = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  if (config != nullptr && config[0] == '/') {
    directories.push_back(std::string(config) + "/agentvm");
  } else if (home != nullptr && home[0] == '/') {
    directories.push_back(std::string(home) + "/.config/agentvm");
  }
  directories.emplace_back("/etc/agentvm");
  directories.push_back(installed);
  return directories;
}

}  // namespace agentvm::sandbox
