// The table of configuration keys: name, type, default, bounds, comment, and where the value lives
// in Config. Parsing (config_file.cpp), the shipped file and `agentvm config` (config_text.cpp) go
// through it, so that they cannot differ.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "runtime/config.h"

namespace agentvm::runtime {

// A word of a closed list is text too: see ConfigKey::words.
using ConfigValue = std::variant<std::string, std::uint64_t, bool, std::vector<std::string>>;

struct ConfigKey {
  std::string_view table;    // "vm"
  std::string_view name;     // "kernel"
  std::string_view comment;  // lines, without "#"
  ConfigValue initial;       // its alternative is the key's type
  void (*set)(Config&, const ConfigValue&);
  ConfigValue (*get)(const Config&);
  // Of numbers, inclusive.
  std::uint64_t least = 0;
  std::uint64_t most = 0;
  // The words that a text key takes; empty: any text.
  std::vector<std::string_view> words = {};
  // What the entries of a list must begin with; "": nothing.
  std::string_view prefix = {};

  [[nodiscard]] std::string dotted() const;  // "vm.kernel"
};

// Where the defaults look for agentvm's own files.
struct InstallDirs {
  std::string libexec;
  std::string data;
};
// As configured at build time.
[[nodiscard]] InstallDirs install_dirs();

[[nodiscard]] std::vector<ConfigKey> config_keys(const InstallDirs& dirs);

// make_shipped_config() for given directories.
[[nodiscard]] std::string make_shipped_config(const InstallDirs& dirs);

}  // namespace agentvm::runtime
