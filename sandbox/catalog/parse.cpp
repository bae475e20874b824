#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "oci/base/try.h"
#include "sandbox/catalog/catalog.h"
#include "sandbox/catalog/toml_reader.h"

namespace agentvm::sandbox {

namespace {

std::string stem_of(const std::string& file) {
  return std::filesystem::path(file).stem().string();
}

void check_hosts(TomlTable& table, std::string_view key, const std::vector<std::string>& hosts) {
  for (const std::string& host : hosts) {
    table.keep(key, check_rule({.allow = true, .target = host, .method = {}, .path = {}}));
  }
}

bool is_variable(std::string_view name) {
  return !name.empty() && !(name[0] >= '0' && name[0] <= '9') &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_';
         });
}

void check_variable(TomlTable& table, std::string_view key, std::string_view name) {
  if (!is_variable(name)) {
    table.refuse(key, fmt::format("'{}' is no name of an environment variable", name));
  }
  if (name == "AGENTVM_SANDBOX") table.refuse(key, "AGENTVM_SANDBOX is reserved");
}

void check_path(TomlTable& table, std::string_view key, std::string_view path) {
  const bool fine = (path.starts_with("~/") || path.starts_with('/')) &&
                    path.find("..") == std::string_view::npos &&
                    path.find('\n') == std::string_view::npos;
  if (!fine) {
    table.refuse(key, fmt::format("'{}' is no path that begins with / or ~/", path));
  }
}

Result<void> read_rules(TomlTable& table, std::vector<RuleText>& rules) {
  std::vector<std::string> allow;
  std::vector<std::string> deny;
  table.optional("allow", allow);
  table.optional("deny", deny);
  check_hosts(table, "allow", allow);
  check_hosts(table, "deny", deny);
  for (std::string& target : allow) rules.push_back({true, std::move(target), {}, {}});
  for (std::string& target : deny) rules.push_back({false, std::move(target), {}, {}});
  for (TomlTable& entry : table.tables("rule")) {
    RuleText rule;
    entry.optional("allow", rule.allow);
    entry.required("target", rule.target);
    entry.optional("method", rule.method);
    entry.optional("path", rule.path);
    entry.keep("target", check_rule(rule));
    TRY(entry.done());
    rules.push_back(std::move(rule));
  }
  return {};
}

}  // namespace

Result<Agent> parse_agent(std::string_view text, const std::string& file) {
  const TomlDocument document = TRY(TomlDocument::parse(text, file));
  Agent agent;
  agent.name = stem_of(file);
  TomlTable table = document.root();
  table.optional("aliases", agent.aliases);
  table.optional("description", agent.description);
  table.required("image", agent.image);
  table.required("command", agent.command);
  table.optional("credentials", agent.credentials);
  table.optional("optional_credentials", agent.optional_credentials);
  table.optional("hosts", agent.hosts);
  table.optional("environment", agent.environment);
  table.optional("files", agent.files);
  table.optional("notices", agent.notices);
  if (agent.image.empty()) table.refuse("image", "must not be empty");
  if (agent.command.empty()) table.refuse("command", "must not be empty");
  check_hosts(table, "hosts", agent.hosts);
  for (const auto& [name, value] : agent.environment) check_variable(table, "environment", name);
  for (const auto& [path, content] : agent.files) check_path(table, "files", path);
  for (const std::string& path : agent.notices) check_path(table, "notices", path);
  TRY(table.done());
  return agent;
}

Result<Service> parse_service(std::string_view text, const std::string& file) {
  const TomlDocument document = TRY(TomlDocument::parse(text, file));
  Service service;
  service.name = stem_of(file);
  TomlTable table = document.root();
  table.optional("description", service.description);
  table.required("environment", service.environment);
  table.required("hosts", service.hosts);
  table.optional("method", service.method);
  table.optional("path", service.path);
  std::vector<TomlTable> headers = table.tables("header");
  if (headers.empty()) table.refuse("header", "must be there: where the value goes");
  for (TomlTable& entry : headers) {
    HeaderText header;
    entry.required("name", header.name);
    entry.required("format", header.format);
    TRY(entry.done());
    service.headers.push_back(std::move(header));
  }
  check_hosts(table, "hosts", service.hosts);
  for (const std::string& name : service.environment) check_variable(table, "environment", name);
  TRY(table.done());
  return service;
}

Result<Preset> parse_preset(std::string_view text, const std::string& file) {
  const TomlDocument document = TRY(TomlDocument::parse(text, file));
  Preset preset;
  preset.name = stem_of(file);
  TomlTable table = document.root();
  std::string otherwise;
  table.optional("description", preset.description);
  table.required("default", otherwise);
  if (otherwise != "allow" && otherwise != "deny") {
    table.refuse("default", fmt::format("expected \"allow\" or \"deny\", not \"{}\"", otherwise));
  }
  preset.allows = otherwise == "allow";
  table.optional("agent_hosts", preset.agent_hosts);
  TRY(read_rules(table, preset.rules));
  TRY(table.done());
  return preset;
}

}  // namespace agentvm::sandbox
