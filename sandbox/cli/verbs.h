// The verbs of `agentvm sandbox`, a file for each subject: their options, and what they do. Errors
// are printed once, by main; the result is the exit status.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sandbox/cli/world.h"
#include "sandbox/store/record.h"

namespace agentvm::sandbox {

using Action = std::function<Result<int>(const World&)>;

struct Verbs {
  CLI::App& app;
  std::function<void(Action)> choose;
  // What follows the first "--" of the command line; nothing without one.
  std::optional<std::vector<std::string>> tail;
};

// A verb whose options are an Options, given to `run` when the verb is chosen.
template <class Options>
std::pair<CLI::App*, std::shared_ptr<Options>> add_verb(const Verbs& verbs, const char* name,
                                                        const char* description,
                                                        Result<int> (*run)(const World&,
                                                                           const Options&)) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = verbs.app.add_subcommand(name, description);
  verb->final_callback([choose = verbs.choose, options, run] {
    choose([options, run](const World& world) { return run(world, *options); });
  });
  return {verb, options};
}

void add_run_verbs(const Verbs& verbs);      // run, create
void add_life_verbs(const Verbs& verbs);     // start, stop, restart, rm, prune, reset, save
void add_list_verbs(const Verbs& verbs);     // ls, inspect, ports, stats
void add_session_verbs(const Verbs& verbs);  // exec, logs
void add_copy_verb(const Verbs& verbs);      // cp
void add_policy_verbs(const Verbs& verbs);   // policy …
void add_secret_verbs(const Verbs& verbs);   // secret …
void add_host_verbs(const Verbs& verbs);     // diagnose, completion, version

}  // namespace agentvm::sandbox
