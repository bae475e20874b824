// From the options of `run` and `create` to a sandbox's record. Pure but for reading --env-file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sandbox/catalog/catalog.h"
#include "sandbox/store/record.h"

namespace agentvm::sandbox {

struct RunOptions {
  std::string agent = {};
  std::vector<std::string> paths = {};
  std::string name = {};
  std::string image = {};
  double cpus = 0;
  std::string memory = {};
  std::string disk = {};
  bool no_docker = false;
  std::vector<std::string> environment = {};
  std::vector<std::string> environment_files = {};
  std::vector<std::string> ports = {};
  bool no_workspace = false;
  std::vector<std::string> network_allow = {};
  std::vector<std::string> network_deny = {};
  std::string policy = {};
  std::string runtime = "agentvm";
  std::optional<std::vector<std::string>> arguments = {};  // what followed "--"
};

struct HostSize {
  unsigned cpus = 0;
  std::uint64_t memory = 0;  // bytes
};

// Appended when they begin with '-', else in place of the agent's own command.
[[nodiscard]] std::vector<std::string> agent_command(
    const Agent& agent, const std::optional<std::vector<std::string>>& arguments);

// "NAME=VALUE", or "NAME": the value that this process has, nothing where it has none. Refused:
// what is no variable's name, and the runtime's own marker.
[[nodiscard]] Result<std::optional<std::string>> parse_variable(const std::string& text);

// All but name, workspaces, terminal and time. `preset`: the user's default.
[[nodiscard]] Result<Record> plan_record(const RunOptions& options, const Agent& agent,
                                         const std::string& preset, const HostSize& host);

// Whether these options can mean the sandbox that is there: same agent, same workspaces, and none
// that counts only when one is made.
[[nodiscard]] Result<void> check_reuse(const RunOptions& options, const Agent& agent,
                                       const Record& record,
                                       const std::vector<Workspace>& workspaces);

}  // namespace agentvm::sandbox
