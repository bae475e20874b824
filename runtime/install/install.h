// Making agentvm a runtime of the engines on this host.
#pragma once

#include <optional>
#include <string>

#include "oci/base/error.h"
#include "runtime/install/engine_files.h"

namespace agentvm::runtime {

enum class EngineKind : std::uint8_t { docker, containerd, podman };

struct InstallOrder {
  EngineKind engine = EngineKind::docker;
  RuntimeEntry entry;
  std::string file;  // of the engine; "": its usual place
  bool remove = false;
};

// What would change.
struct InstallPlan {
  std::string path;
  std::optional<std::string> before;  // nothing: there is no such file
  std::optional<std::string> after;   // nothing: there will be none
  std::string next;                   // what the user does then
  [[nodiscard]] bool changes() const { return before != after; }
};

// Reads the engine's file. Errors name it; it is as it was.
[[nodiscard]] Result<InstallPlan> plan_install(const InstallOrder& order);

// Writes it whole or not at all, with the mode that it had; a file that was there is kept as
// backup_of(path), in the place of an earlier one.
[[nodiscard]] Result<void> carry_out(const InstallPlan& plan);
[[nodiscard]] std::string backup_of(const std::string& path);

}  // namespace agentvm::runtime
