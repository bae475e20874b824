// Hooks that run on the host (runtime-spec 1.2, config.md "POSIX-platform Hooks"): prestart,
// createRuntime, createContainer, poststart, poststop. startContainer runs in the guest. Blocking:
// they are called from commands, never from the monitor's event loop.
//
// A hook gets exactly its own args and env, the state document on stdin (a file that ends, so a
// hook that does not read it blocks nobody), no other descriptor, default signals, and a process
// group of its own. What it leaves running after a success is left alone; after its timeout the
// whole group is killed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"
#include "oci/spec.h"

namespace agentvm::runtime {

enum class HookKind : std::uint8_t {
  prestart,
  create_runtime,
  create_container,
  poststart,
  poststop,
};

[[nodiscard]] std::string_view name_of(HookKind kind);  // "prestart", "createRuntime", …

struct HookContext {
  std::string state_json;  // the spec's state document, as of now
  // Of the network namespace to run in, borrowed; -1: the caller's. createContainer hooks run in
  // the container's, which is /proc/<monitor's pid>/ns/net.
  int network_namespace = -1;
};

// In order, up to the first failure: `error running createRuntime hook #0: exit status 1, stdout:
// …, stderr: …` (runc's words; the last 4 KiB of each, control characters replaced). For the
// hooks of create.
[[nodiscard]] Result<void> run_hooks(HookKind kind, std::span<const oci::Hook> hooks,
                                     const HookContext& context);

// All of them, whatever fails: for poststart and poststop, whose failures are to be logged.
[[nodiscard]] std::vector<Error> run_every_hook(HookKind kind, std::span<const oci::Hook> hooks,
                                                const HookContext& context);

}  // namespace agentvm::runtime
