#include "runtime/cli/arguments.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "runtime/cli/arguments_verbs.h"
#include "runtime/cli/version.h"

namespace agentvm::runtime::cli {

namespace {

void add_globals(CLI::App& app, Globals& globals) {
  app.add_option("--root", globals.root, "directory for the state of containers")
      ->capture_default_str();
  app.add_option("--log", globals.log_path, "file to log to (default: standard error)");
  app.add_option("--log-format", globals.log_format, "format of the log: text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  app.add_flag("--debug", globals.debug, "log debug messages too");
  app.add_flag("--systemd-cgroup", globals.systemd_cgroup,
               "let systemd make the host's cgroup (cgroupsPath is slice:prefix:name)");
  app.add_option("--config", globals.config_path,
                 "configuration file (default: /etc/agentvm/config.toml)");
  // runc takes these; nothing hangs on them here.
  static std::string ignored;
  app.add_option("--rootless", ignored, "accepted for runc's sake; agentvm needs root")
      ->check(CLI::IsMember({"auto", "false"}));
  app.add_option("--criu", ignored, "accepted for runc's sake")->group("");
}

}  // namespace

std::variant<Arguments, int> parse_arguments(int argc, const char* const* argv) {
  Arguments arguments;
  CLI::App app{
      "agentvm runs OCI containers, each in a microVM of its own.\n"
      "A drop-in for runc; agentvm(8) tells what differs.",
      "agentvm"};
  app.set_version_flag("--version,-v", version_text());
  app.require_subcommand(0, 1);
  // As with runc: the last of several counts. The verbs inherit it.
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  add_globals(app, arguments.globals);
  bool chosen = false;
  const Verbs verbs{app, [&](Command command) {
                      arguments.command = std::move(command);
                      chosen = true;
                    }};
  add_lifecycle_verbs(verbs);
  add_exec_verb(verbs);
  add_inspection_verbs(verbs);
  add_update_verb(verbs);
  add_host_verbs(verbs);
  add_template_verb(verbs);
  add_pool_verb(verbs);
  add_install_verb(verbs);
  add_program_verbs(verbs);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // runc knows one status for all that is wrong.
    return app.exit(error) == 0 ? 0 : 1;
  }
  if (!chosen) {
    fmt::print("{}", app.help());
    return 0;
  }
  return arguments;
}

}  // namespace agentvm::runtime::cli
