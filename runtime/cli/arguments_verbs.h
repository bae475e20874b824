// The verbs' declarations to CLI11, in groups; for arguments*.cpp only.
#pragma once

#include <CLI/App.hpp>
#include <functional>

#include "runtime/cli/arguments.h"

namespace agentvm::runtime::cli {

struct Verbs {
  CLI::App& app;
  std::function<void(Command)> choose;  // called by the verb that was typed
};

void add_lifecycle_verbs(const Verbs& verbs);
void add_exec_verb(const Verbs& verbs);
void add_inspection_verbs(const Verbs& verbs);
void add_update_verb(const Verbs& verbs);
void add_host_verbs(const Verbs& verbs);
void add_template_verb(const Verbs& verbs);
void add_pool_verb(const Verbs& verbs);
void add_install_verb(const Verbs& verbs);
void add_program_verbs(const Verbs& verbs);

// A verb whose options live as long as the parser.
template <class Options>
std::pair<CLI::App*, std::shared_ptr<Options>> add_verb(const Verbs& verbs, const char* name,
                                                        const char* description) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = verbs.app.add_subcommand(name, description);
  verb->final_callback([choose = verbs.choose, options] { choose(*options); });
  return {verb, options};
}

template <class Options>
void add_id(CLI::App* verb, const std::shared_ptr<Options>& options) {
  verb->add_option("container-id", options->id, "the container's name")->required();
}

}  // namespace agentvm::runtime::cli
