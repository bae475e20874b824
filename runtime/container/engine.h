// What every verb of a container's life needs to know of its surroundings. The verbs in this
// folder are what the CLI and the shim call: they take values, return Results, and neither print
// nor exit.
#pragma once

#include <string>

#include "runtime/config.h"
#include "runtime/state_dir.h"

namespace agentvm::runtime {

struct Engine {
  std::string root = kDefaultRoot;
  Config config;
  std::string config_path;  // "" when the defaults are in force
  bool systemd_cgroup = false;
};

// A container by name, with its record as of now.
struct OpenContainer {
  StateDir dir;
  ContainerRecord record;
};
[[nodiscard]] Result<OpenContainer> open_container(const Engine& engine, const std::string& id);

}  // namespace agentvm::runtime
