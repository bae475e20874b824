#include <fmt/format.h>

#include <string>
#include <string_view>

#include "runtime/config_keys.h"

namespace agentvm::runtime {

namespace {

// A TOML basic string.
std::string quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted.append(1, '\\').append(1, c);
    } else if (byte < 0x20 || byte == 0x7f) {
      quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(byte));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

std::string to_toml(const ConfigValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return quote(*text);
  if (const auto* number = std::get_if<std::uint64_t>(&value)) return fmt::format("{}", *number);
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  std::string list;
  for (const auto& name : std::get<std::vector<std::string>>(value)) {
    list.append(list.empty() ? "" : ", ").append(quote(name));
  }
  return "[" + list + "]";
}

}  // namespace

Config make_default_config() {
  Config config;
  for (const ConfigKey& key : config_keys(install_dirs())) {
    key.set(config, key.initial);
    config.origins.emplace(key.dotted(), "default");
  }
  return config;
}

std::string describe_config(const Config& config) {
  std::string text;
  for (const ConfigKey& key : config_keys(install_dirs())) {
    const auto origin = config.origins.find(key.dotted());
    text += fmt::format("{} = {}  # {}\n", key.dotted(), to_toml(key.get(config)),
                        origin == config.origins.end() ? "unknown" : origin->second);
  }
  return text;
}

std::string make_shipped_config(const InstallDirs& dirs) {
  std::string text =
      "# agentvm's configuration, read from /etc/agentvm/config.toml. Every key is shown at its\n"
      "# default; `agentvm config` prints the values in use and where each came from.\n";
  std::string_view table;
  for (const ConfigKey& key : config_keys(dirs)) {
    if (key.table != table) {
      table = key.table;
      text += fmt::format("\n[{}]\n", table);
    }
    text += '\n';
    for (std::string_view rest = key.comment; !rest.empty();) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      text += fmt::format("# {}\n", rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    text += fmt::format("#{} = {}\n", key.name, to_toml(key.initial));
  }
  return text;
}

std::string make_shipped_config() {
  return make_shipped_config(install_dirs());
}

}  // namespace agentvm::runtime
