// Agents, credential services and policy presets: data, one TOML file each, named by the file.
// Searched in the caller's own directory, then the host's, then what is installed; the first
// counts.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"
#include "sandbox/catalog/rules.h"

namespace agentvm::sandbox {

struct Agent {
  std::string name;
  std::vector<std::string> aliases;
  std::string description;
  std::string image;
  std::vector<std::string> command;
  std::vector<std::string> credentials;           // services that it cannot work without
  std::vector<std::string> optional_credentials;  // those that it uses when a value is known
  std::vector<std::string> hosts;                 // what it needs, as rules' targets
  std::map<std::string, std::string> environment;
  // Made when they are not there; a path with "~/" is the agent's home.
  std::map<std::string, std::string> files;
  // Where it looks for instructions: the text about the network is put there.
  std::vector<std::string> notices;
  friend bool operator==(const Agent&, const Agent&) = default;
};

struct Service {
  std::string name;
  std::string description;
  std::vector<std::string> environment;  // on the host: the first that is set; in the guest: all
  std::vector<std::string> hosts;
  std::vector<HeaderText> headers;
  std::string method;
  std::string path;
  friend bool operator==(const Service&, const Service&) = default;
};

struct Preset {
  std::string name;
  std::string description;
  bool allows = false;      // where no rule decides
  bool agent_hosts = true;  // whether the agent's own hosts are allowed
  std::vector<RuleText> rules;
  friend bool operator==(const Preset&, const Preset&) = default;
};

// `file` is the path that errors name; the name is that of the file, without ".toml".
[[nodiscard]] Result<Agent> parse_agent(std::string_view text, const std::string& file);
[[nodiscard]] Result<Service> parse_service(std::string_view text, const std::string& file);
[[nodiscard]] Result<Preset> parse_preset(std::string_view text, const std::string& file);

class Catalog {
 public:
  // Directories with "agents", "services", "presets" below them, the first counts.
  explicit Catalog(std::vector<std::string> directories) : directories_(std::move(directories)) {}

  // not_found lists the names that there are. Agents are found by alias too.
  [[nodiscard]] Result<Agent> agent(const std::string& name) const;
  [[nodiscard]] Result<Service> service(const std::string& name) const;
  [[nodiscard]] Result<Preset> preset(const std::string& name) const;
  [[nodiscard]] std::vector<std::string> names(std::string_view kind) const;

 private:
  template <class T>
  [[nodiscard]] Result<T> load(std::string_view kind, const std::string& name,
                               Result<T> (*parse)(std::string_view, const std::string&)) const;
  std::vector<std::string> directories_;
};

// $XDG_CONFIG_HOME/agentvm (or ~/.config/agentvm), /etc/agentvm, and `installed`.
[[nodiscard]] std::vector<std::string> catalog_directories(const std::string& installed);

}  // namespace agentvm::sandbox
