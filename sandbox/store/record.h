// What a sandbox was made with: sandbox.json. Everything that `reset` needs to make it again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "oci/base/error.h"
#include "oci/base/json_fields.h"
#include "sandbox/catalog/rules.h"
#include "sandbox/store/place.h"

namespace agentvm::sandbox {

struct Workspace {
  std::string path;  // on the host and in the guest
  bool read_only = false;
  friend bool operator==(const Workspace&, const Workspace&) = default;
};

void json_fields(auto& io, Like<Workspace> auto& workspace) {
  io.required("path", workspace.path);
  io.optional("read_only", workspace.read_only);
}

struct Record {
  unsigned version = 1;
  std::string name;
  std::string agent;
  std::string image;
  std::string container;  // its id
  std::string runtime;
  std::vector<Workspace> workspaces;  // the first is where the agent works; may be none
  std::vector<std::string> command;   // of the agent's next start
  bool tty = false;
  double cpus = 0;
  std::uint64_t memory = 0;  // bytes
  std::uint64_t disk_mib = 0;
  bool docker = true;
  std::vector<std::string> environment;  // NAME=VALUE
  std::vector<std::string> ports;        // as -p has them
  std::string preset;
  bool agent_hosts = true;
  std::vector<RuleText> rules;  // of this sandbox alone
  std::string created;          // RFC 3339
  friend bool operator==(const Record&, const Record&) = default;
};

void json_fields(auto& io, Like<Record> auto& record) {
  io.required("version", record.version);
  io.required("name", record.name);
  io.required("agent", record.agent);
  io.required("image", record.image);
  io.optional("container", record.container);
  io.required("runtime", record.runtime);
  io.optional("workspaces", record.workspaces);
  io.required("command", record.command);
  io.optional("tty", record.tty);
  io.optional("cpus", record.cpus);
  io.optional("memory", record.memory);
  io.optional("disk_mib", record.disk_mib);
  io.defaulted("docker", record.docker);
  io.optional("environment", record.environment);
  io.optional("ports", record.ports);
  io.required("preset", record.preset);
  io.defaulted("agent_hosts", record.agent_hosts);
  io.optional("rules", record.rules);
  io.optional("created", record.created);
}

// not_found: "there is no sandbox 'x'; `agentvm sandbox ls` lists them".
[[nodiscard]] Result<Record> load_record(const Place& place, const std::string& name);
[[nodiscard]] Result<void> store_record(const Place& place, const Record& record);

// Of all sandboxes: .policy.json.
struct UserPolicy {
  unsigned version = 1;
  std::string preset = "balanced";  // of new sandboxes
  std::vector<RuleText> rules;
  friend bool operator==(const UserPolicy&, const UserPolicy&) = default;
};

void json_fields(auto& io, Like<UserPolicy> auto& policy) {
  io.required("version", policy.version);
  io.required("preset", policy.preset);
  io.optional("rules", policy.rules);
}

// Defaults where nothing is stored.
[[nodiscard]] Result<UserPolicy> load_user_policy(const Place& place);
[[nodiscard]] Result<void> store_user_policy(const Place& place, const UserPolicy& policy);

}  // namespace agentvm::sandbox
