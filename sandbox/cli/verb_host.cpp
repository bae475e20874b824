#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>

#include "agentvm_version.h"
#include "oci/base/try.h"
#include "sandbox/cli/verbs.h"
#include "sandbox/store/program.h"

namespace agentvm::sandbox {

namespace {

struct NoOptions {};
struct ShellOptions {
  std::string shell;
};

// One line of `diagnose`.
class Diagnosis {
 public:
  void good(std::string_view what, std::string_view text) const {
    fmt::print("  ok    {:<16} {}\n", what, text);
  }
  void bad(std::string_view what, std::string_view text) {
    fmt::print("  BAD   {:<16} {}\n", what, text);
    fine_ = false;
  }
  void note(std::string_view what, std::string_view text) const {
    fmt::print("  note  {:<16} {}\n", what, text);
  }
  void program(std::string_view what, const std::string& path) {
    if (::access(path.c_str(), X_OK) == 0) {
      good(what, path);
    } else {
      bad(what, path + " is missing: install agentvm again");
    }
  }
  [[nodiscard]] bool fine() const { return fine_; }

 private:
  bool fine_ = true;
};

void diagnose_docker(const World& world, Diagnosis& diagnosis) {
  const auto docker = connect_docker(world);
  if (!docker) return diagnosis.bad("Docker", docker.error().text());
  const auto info = docker->info();
  if (!info) return diagnosis.bad("Docker", info.error().text());
  diagnosis.good("Docker", fmt::format("{} at {}, API {}.{}", info->version, docker->socket(),
                                       docker->version().major, docker->version().minor));
  if (std::ranges::find(info->runtimes, "agentvm") != info->runtimes.end()) {
    diagnosis.good("runtime", "agentvm is one of Docker's runtimes");
  } else {
    diagnosis.bad("runtime",
                  "Docker does not know agentvm: `agentvm install docker`, then "
                  "`systemctl reload docker`");
  }
  std::vector<std::string> ours;
  for (const std::string& name : docker->image_names().value_or(std::vector<std::string>())) {
    if (name.starts_with("agentvm/")) ours.push_back(name);
  }
  if (ours.empty()) {
    diagnosis.note("images", "none is built yet; the first run of an agent builds its own");
  } else {
    diagnosis.good("images", fmt::format("{}", fmt::join(ours, ", ")));
  }
}

void diagnose_data(const World& world, Diagnosis& diagnosis) {
  for (const std::string& name : world.catalog.names("agents")) {
    const auto agent = world.catalog.agent(name);
    if (!agent) diagnosis.bad("agent", agent.error().text());
  }
  for (const std::string& name : world.catalog.names("services")) {
    const auto service = world.catalog.service(name);
    if (!service) diagnosis.bad("service", service.error().text());
  }
  for (const std::string& name : world.catalog.names("presets")) {
    const auto preset = world.catalog.preset(name);
    if (!preset) diagnosis.bad("preset", preset.error().text());
  }
  diagnosis.good("agents", fmt::format("{}", fmt::join(world.catalog.names("agents"), ", ")));
}

Result<int> run_diagnose(const World& world, const NoOptions& /*options*/) {
  Diagnosis diagnosis;
  diagnose_docker(world, diagnosis);
  diagnosis.program("gateway", world.libexec + "/agentvm-gateway");
  const auto names = sandbox_names(world.place);
  if (names) {
    diagnosis.good("settings",
                   fmt::format("{}, {} sandboxes", world.place.directory, names->size()));
  } else {
    diagnosis.bad("settings", names.error().text());
  }
  const auto creds = run_program({"systemd-creds", "--version"}, "");
  if (creds && creds->status == 0) {
    diagnosis.good("secrets", "sealed by systemd-creds");
  } else {
    diagnosis.note("secrets", "no systemd-creds here: kept in files for root alone");
  }
  diagnose_data(world, diagnosis);
  fmt::print("\nWhat VMs can do on this host: `agentvm check`.\n");
  return diagnosis.fine() ? 0 : 1;
}

Result<int> run_completion(const World& world, const ShellOptions& options) {
  fmt::print("{}", TRY(load_file(world.data + "/completion/" + options.shell)));
  return 0;
}

Result<int> run_version(const World& world, const NoOptions& /*options*/) {
  fmt::print("agentvm sandbox version {}\ncommit: {}\n", AGENTVM_VERSION, AGENTVM_COMMIT);
  if (const auto docker = connect_docker(world)) {
    if (const auto info = docker->info()) fmt::print("Docker: {}\n", info->version);
  }
  return 0;
}

}  // namespace

void add_host_verbs(const Verbs& verbs) {
  add_verb<NoOptions>(verbs, "diagnose",
                      "what is there on this host, and what to do about the rest", run_diagnose);
  auto [completion, o] = add_verb<ShellOptions>(
      verbs, "completion", "print a shell's completion script", run_completion);
  completion->add_option("SHELL", o->shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  add_verb<NoOptions>(verbs, "version", "print versions", run_version);
}

}  // namespace agentvm::sandbox
