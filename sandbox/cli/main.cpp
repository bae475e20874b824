// `agentvm sandbox`, and as docker-sandbox the plugin behind `docker sandbox`.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <iterator>

#include "oci/base/try.h"
#include "runtime/config.h"
#include "runtime/config_keys.h"
#include "sandbox/cli/plugin.h"
#include "sandbox/cli/verbs.h"

namespace agentvm::sandbox {

namespace {

// As `docker` for what failed before anything ran.
constexpr int kFailed = 125;

struct Globals {
  std::string config;
  std::string host;
  std::string data;
};

void add_globals(CLI::App& app, Globals& globals) {
  app.add_option("--config", globals.config,
                 "configuration file (default: /etc/agentvm/config.toml)");
  app.add_option("--host,-H", globals.host, "Docker's socket (default: DOCKER_HOST)");
  app.add_option("--data", globals.data, "directory of agents, services and presets")->group("");
}

World make_world(const Globals& globals, const runtime::Config& config) {
  const runtime::InstallDirs dirs = runtime::install_dirs();
  const std::string data = globals.data.empty() ? dirs.data + "/sandbox" : globals.data;
  return {.place = {config.sandbox.directory, config.sandbox.run_directory},
          .catalog = Catalog(catalog_directories(data)),
          .docker_host = globals.host,
          .data = data,
          .libexec = dirs.libexec};
}

Result<int> act(const Globals& globals, const Action& action) {
  const bool named = !globals.config.empty();
  const runtime::Config config =
      TRY(runtime::load_config(named ? globals.config : runtime::kConfigPath, named));
  return action(make_world(globals, config));
}

// What follows "--" is the agent's, for the verbs that start one.
std::optional<std::vector<std::string>> take_tail(std::vector<std::string>& words) {
  const auto verb = std::ranges::find_if(
      words, [](const std::string& word) { return word == "run" || word == "create"; });
  const auto dashes = std::ranges::find(words, "--");
  if (verb == words.end() || dashes == words.end() || dashes < verb) return std::nullopt;
  // An argument of another verb, named like these.
  const std::string first =
      *std::ranges::find_if(words, [](const std::string& word) { return !word.starts_with('-'); });
  if (first == "exec" || first == "cp" || first == "secret") return std::nullopt;
  std::vector<std::string> tail(std::next(dashes), words.end());
  words.erase(dashes, words.end());
  return tail;
}

int run(std::vector<std::string> words, const std::string& name) {
  Globals globals;
  Action action;
  CLI::App app{
      "Coding agents in microVMs: their workspace at its own path, Docker inside, a network\n"
      "policy, and keys that they never see. agentvm-sandbox(1) tells all.",
      name};
  app.require_subcommand(0, 1);
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  add_globals(app, globals);
  auto tail = take_tail(words);
  const Verbs verbs{app, [&](Action chosen) { action = std::move(chosen); }, std::move(tail)};
  add_run_verbs(verbs);
  add_session_verbs(verbs);
  add_life_verbs(verbs);
  add_list_verbs(verbs);
  add_copy_verb(verbs);
  add_policy_verbs(verbs);
  add_secret_verbs(verbs);
  add_host_verbs(verbs);
  try {
    std::ranges::reverse(words);  // as CLI11 takes a vector
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kFailed;
  }
  if (!action) {
    fmt::print("{}", app.help());
    return 0;
  }
  const auto outcome = act(globals, action);
  if (outcome) return *outcome;
  fmt::print(stderr, "{}: {}\n", name, outcome.error().text());
  return kFailed;
}

int main_of(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  // Secrets pass through this process: none of it goes to a core file.
  const rlimit none{0, 0};
  (void)::setrlimit(RLIMIT_CORE, &none);
  std::vector<std::string> words(argv + 1, argv + argc);
  const std::string self = std::filesystem::path(argv[0]).filename().string();
  if (self != kPluginName) return run(std::move(words), "agentvm sandbox");
  if (!words.empty() && words.front() == kPluginQuestion) {
    fmt::print("{}\n", plugin_metadata());
    return 0;
  }
  auto ours = plugin_words(words);
  if (ours) return run(*std::move(ours), "docker sandbox");
  fmt::print(stderr, "docker sandbox: {}\n", ours.error().text());
  return kFailed;
}

}  // namespace

}  // namespace agentvm::sandbox

int main(int argc, char** argv) {
  return agentvm::sandbox::main_of(argc, argv);
}
