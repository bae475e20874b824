#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>

#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "sandbox/cli/session_verbs.h"
#include "sandbox/cli/sizes.h"
#include "sandbox/cli/verbs.h"
#include "sandbox/engine/container_request.h"
#include "sandbox/engine/session.h"
#include "sandbox/life.h"
#include "sandbox/run_plan.h"
#include "sandbox/store/workspace.h"

namespace agentvm::sandbox {

namespace {

struct RunVerb : RunOptions {
  bool runs = true;  // run; else create
  bool detach = false;
  std::string detach_keys = "ctrl-p,ctrl-q";
};

void tell_policy(const Record& record, const Agent& agent) {
  if (record.rules.empty()) return;
  std::vector<std::string> rules;
  for (const RuleText& rule : record.rules) rules.push_back(to_text(rule));
  fmt::print(stderr, "agentvm sandbox: {}", fmt::join(rules, ", "));
  if (record.agent_hosts && !agent.hosts.empty()) {
    fmt::print(stderr, "; {}'s own hosts are allowed: {}", agent.name,
               fmt::join(agent.hosts, ", "));
  }
  fmt::print(stderr, "; policy {}\n", record.preset);
}

Result<Record> make_new(const World& world, const Docker& docker, const RunVerb& options,
                        const Agent& agent, const std::string& name,
                        std::vector<Workspace> workspaces) {
  const UserPolicy user = TRY(load_user_policy(world.place));
  const EngineInfo host = TRY(docker.info());
  Record record = TRY(plan_record(options, agent, user.preset, {host.cpus, host.memory}));
  record.name = name;
  record.workspaces = std::move(workspaces);
  record.tty = options.runs && !options.detach ? has_terminal() : true;
  record.created = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  const Preset preset = TRY(world.catalog.preset(record.preset));
  // --network-allow alone: the agent's own hosts are meant as well.
  const bool only_named = options.policy.empty() && !options.network_allow.empty();
  record.agent_hosts = only_named || preset.agent_hosts;
  TRY(ensure_image(world, docker, record.image, agent.name));
  tell_policy(record, agent);
  TRY(make_sandbox(world, docker, record), "make sandbox '{}'", name);
  return record;
}

// A sandbox that is there, with what this start is to run.
Result<Record> reuse(const World& world, const Docker& docker, const RunVerb& options,
                     const Agent& agent, Record record, const std::vector<Workspace>& workspaces) {
  if (!options.runs) {
    return fail(ErrorKind::already_exists,
                fmt::format("there is a sandbox '{}' already", record.name));
  }
  TRY(check_reuse(options, agent, record, workspaces));
  const ContainerView view = TRY(container_of(docker, record));
  std::vector<std::string> command = agent_command(agent, options.arguments);
  if (command != record.command && view.runs() && options.arguments) {
    return fail(ErrorKind::failed_precondition,
                fmt::format("sandbox '{0}' runs, and arguments count when it starts: `agentvm "
                            "sandbox stop {0}` first, or `agentvm sandbox exec {0} …`",
                            record.name));
  }
  if (!view.runs() && command != record.command) {
    record.command = std::move(command);
    TRY(store_record(world.place, record));
  }
  return record;
}

Result<int> run_verb(const World& world, const RunVerb& options) {
  TRY(make_place(world.place));
  const Docker docker = TRY(connect_docker(world));
  const Agent agent = TRY(world.catalog.agent(options.agent));
  const Protected hidden = protected_directories(world.place, docker.socket());
  std::vector<Workspace> workspaces;
  if (!options.no_workspace) {
    std::vector<std::string> paths = options.paths;
    if (paths.empty()) paths.emplace_back(".");
    for (const std::string& path : paths) {
      workspaces.push_back(TRY(parse_workspace(path, hidden)));
    }
  }
  const std::string name =
      !options.name.empty()
          ? options.name
          : default_name(agent.name, workspaces.empty() ? "" : workspaces.front().path);
  auto known = load_record(world.place, name);
  if (!known && known.error().kind != ErrorKind::not_found) {
    return std::unexpected(std::move(known).error());
  }
  const Record record =
      known ? TRY(reuse(world, docker, options, agent, *std::move(known), workspaces))
            : TRY(make_new(world, docker, options, agent, name, std::move(workspaces)));
  if (!options.runs) {
    fmt::print("{}\n", record.name);
    return 0;
  }
  const Resolved resolved = TRY(refresh(world, record));
  tell_missing(resolved);
  if (!options.detach) return attach_agent(docker, record, options.detach_keys);
  const ContainerView view = TRY(container_of(docker, record));
  if (!view.runs()) TRY(start_container(docker, record));
  fmt::print("{}\n", record.name);
  return 0;
}

void add_options(CLI::App* verb, RunVerb& o) {
  verb->add_option("AGENT", o.agent,
                   "claude, codex, gemini, copilot, kiro, opencode, shell, or yours")
      ->required();
  verb->add_option("PATH", o.paths,
                   "workspace, at the same path inside (default: .); more, each with :ro if wanted")
      ->take_all();
  verb->add_option("--name", o.name, "of the sandbox (default: AGENT-DIRECTORY)");
  verb->add_option("--template,-t", o.image, "another image than the agent's");
  verb->add_option("--cpus", o.cpus, "of the VM (default: up to 4)");
  verb->add_option("--memory,-m", o.memory, "of the VM, as 4g (default: up to 4g)");
  verb->add_option("--disk", o.disk, "size of the disk for Docker inside, as 64g");
  verb->add_flag("--no-docker", o.no_docker, "without a Docker inside");
  verb->add_option("--env,-e", o.environment, "NAME=VALUE, or NAME for the value from here")
      ->allow_extra_args(false)
      ->take_all();
  verb->add_option("--env-file", o.environment_files, "file with a NAME=VALUE a line")
      ->allow_extra_args(false)
      ->take_all();
  verb->add_option("--publish,-p", o.ports, "[[ADDRESS:]HOST-PORT:]PORT; on 127.0.0.1 by default")
      ->allow_extra_args(false)
      ->take_all();
  verb->add_flag("--no-workspace", o.no_workspace, "without any directory of the host");
  verb->add_option("--network-allow", o.network_allow,
                   "hosts to allow; without --policy the rest but the agent's own is denied")
      ->take_all();
  verb->add_option("--network-deny", o.network_deny, "hosts to deny, before any allow")->take_all();
  verb->add_option("--policy", o.policy, "preset: allow-all, balanced, deny-all, or yours");
  verb->add_option("--runtime", o.runtime, "as Docker knows it")->capture_default_str();
}

}  // namespace

void add_run_verbs(const Verbs& verbs) {
  auto [run, o] = add_verb<RunVerb>(
      verbs, "run", "start an agent in a sandbox, which is made where it is not there", run_verb);
  add_options(run, *o);
  o->arguments = verbs.tail;
  run->add_flag("--detach,-d", o->detach, "do not connect the terminal");
  run->add_option("--detach-keys", o->detach_keys, "that leave it running")->capture_default_str();
  auto [create, c] =
      add_verb<RunVerb>(verbs, "create", "make a sandbox without starting it", run_verb);
  add_options(create, *c);
  c->runs = false;
  c->arguments = verbs.tail;
  for (CLI::App* verb : {run, create}) {
    verb->footer(
        "What follows -- is for the agent: added to its command when it begins with -,\n"
        "the command instead when not.");
  }
}

}  // namespace agentvm::sandbox
