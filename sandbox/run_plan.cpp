#include "sandbox/run_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>

#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "sandbox/cli/sizes.h"
#include "sandbox/engine/container_request.h"

namespace agentvm::sandbox {

namespace {

constexpr unsigned kUsualCpus = 4;
constexpr std::uint64_t kUsualMemory = std::uint64_t{4} << 30;
constexpr std::uint64_t kLeastMemory = std::uint64_t{128} << 20;
constexpr std::uint64_t kLeastDiskMib = 1024;
constexpr std::size_t kMaxEnvironmentFile = 1 << 20;

Result<void> add_variable(const std::string& text, std::vector<std::string>& out) {
  auto variable = TRY(parse_variable(text));
  if (variable) out.push_back(*std::move(variable));
  return {};
}

Result<std::vector<std::string>> environment_of(const RunOptions& options) {
  std::vector<std::string> out;
  for (const std::string& file : options.environment_files) {
    const std::string text = TRY(sys::read_file(file, kMaxEnvironmentFile), "--env-file");
    for (const std::string_view line : split(text, "\n")) {
      if (!line.starts_with('#')) TRY(add_variable(std::string(line), out), "'{}'", file);
    }
  }
  for (const std::string& text : options.environment) TRY(add_variable(text, out));
  return out;
}

Result<void> add_rules(bool allow, const std::vector<std::string>& targets,
                       std::vector<RuleText>& out) {
  for (const std::string& list : targets) {
    for (const std::string_view target : split(list, ",")) {
      RuleText rule{allow, std::string(target), {}, {}};
      TRY(check_rule(rule), "{}", allow ? "--network-allow" : "--network-deny");
      out.push_back(std::move(rule));
    }
  }
  return {};
}

Result<void> plan_size(const RunOptions& options, const HostSize& host, Record& record) {
  record.cpus = options.cpus > 0 ? options.cpus : std::min(kUsualCpus, std::max(host.cpus, 1U));
  record.memory = options.memory.empty() ? std::min(kUsualMemory, host.memory / 2)
                                         : TRY(parse_size(options.memory), "--memory");
  record.memory = record.memory >> 20 << 20;
  if (record.memory < kLeastMemory) {
    return fail(ErrorKind::invalid_argument, "--memory: a sandbox needs at least 128m");
  }
  if (options.disk.empty()) return {};
  record.disk_mib = TRY(parse_size(options.disk), "--disk") >> 20;
  if (record.disk_mib < kLeastDiskMib) {
    return fail(ErrorKind::invalid_argument, "--disk: a disk for Docker has at least 1g");
  }
  return {};
}

// Options that count only when a sandbox is made.
Result<void> check_fixed(const RunOptions& options, const Record& record) {
  struct Fixed {
    bool given;
    const char* name;
    bool is_policy = false;
  };
  const Fixed fixed[] = {
      {!options.image.empty() && options.image != record.image, "--template"},
      {options.cpus > 0 && options.cpus != record.cpus, "--cpus"},
      {!options.memory.empty(), "--memory"},
      {!options.disk.empty(), "--disk"},
      {options.no_docker && record.docker, "--no-docker"},
      {!options.environment.empty(), "--env"},
      {!options.environment_files.empty(), "--env-file"},
      {!options.ports.empty() && options.ports != record.ports, "--publish"},
      {!options.network_allow.empty(), "--network-allow", true},
      {!options.network_deny.empty(), "--network-deny", true},
      {!options.policy.empty() && options.policy != record.preset, "--policy", true},
  };
  for (const Fixed& option : fixed) {
    if (!option.given) continue;
    const std::string what =
        option.is_policy
            ? fmt::format("`agentvm sandbox policy` changes its rules, also while it runs")
            : fmt::format("`agentvm sandbox rm {}` first, or choose another --name", record.name);
    return fail(ErrorKind::failed_precondition,
                fmt::format("sandbox '{}' is there already, and {} counts when one is made: {}",
                            record.name, option.name, what));
  }
  return {};
}

}  // namespace

std::vector<std::string> agent_command(const Agent& agent,
                                       const std::optional<std::vector<std::string>>& arguments) {
  if (!arguments || arguments->empty()) return agent.command;
  if (!arguments->front().starts_with('-')) return *arguments;
  std::vector<std::string> command = agent.command;
  command.insert(command.end(), arguments->begin(), arguments->end());
  return command;
}

Result<std::optional<std::string>> parse_variable(const std::string& text) {
  const std::string name = text.substr(0, text.find('='));
  if (name.empty() || name.find_first_of(" \t\r") != std::string::npos) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("'{}' is no environment variable: expected NAME=VALUE or NAME", name));
  }
  if (name == kMarker) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("{} is reserved: it names the sandbox to the runtime", kMarker));
  }
  if (name.size() < text.size()) return text;
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return name + "=" + value;
}

Result<Record> plan_record(const RunOptions& options, const Agent& agent, const std::string& preset,
                           const HostSize& host) {
  Record record;
  record.agent = agent.name;
  record.image = options.image.empty() ? agent.image : options.image;
  record.runtime = options.runtime;
  record.command = agent_command(agent, options.arguments);
  record.docker = !options.no_docker;
  record.environment = TRY(environment_of(options));
  for (const std::string& port : options.ports) (void)TRY(parse_port(port));
  record.ports = options.ports;
  TRY(plan_size(options, host, record));
  TRY(add_rules(true, options.network_allow, record.rules));
  TRY(add_rules(false, options.network_deny, record.rules));
  record.preset = preset;
  if (!options.network_allow.empty()) record.preset = "deny-all";
  if (!options.policy.empty()) record.preset = options.policy;
  return record;
}

Result<void> check_reuse(const RunOptions& options, const Agent& agent, const Record& record,
                         const std::vector<Workspace>& workspaces) {
  if (record.agent != agent.name) {
    return fail(ErrorKind::already_exists,
                fmt::format("sandbox '{}' is one of agent '{}': choose another --name", record.name,
                            record.agent));
  }
  const bool asked = !options.paths.empty() || options.no_workspace || options.name.empty();
  if (asked && workspaces != record.workspaces) {
    std::vector<std::string> theirs;
    for (const Workspace& workspace : record.workspaces) theirs.push_back(workspace.path);
    return fail(ErrorKind::already_exists,
                fmt::format("sandbox '{}' is there, with other workspaces ({}): choose another "
                            "--name",
                            record.name,
                            theirs.empty() ? "none" : fmt::format("{}", fmt::join(theirs, ", "))));
  }
  return check_fixed(options, record);
}

}  // namespace agentvm::sandbox
