#include "runtime/cli/arguments_verbs.h"

#include <CLI/CLI.hpp>

#include "runtime/vm_size.h"

namespace agentvm::runtime::cli {

namespace {

void add_create_flags(CLI::App* verb, CreateOptions& options) {
  verb->add_option("container-id", options.id, "name of the new container")->required();
  verb->add_option("--bundle,-b", options.bundle, "directory of the bundle (default: .)");
  verb->add_option("--console-socket", options.console_socket,
                   "unix socket that receives the terminal's master");
  verb->add_option("--pidfd-socket", options.pidfd_socket,
                   "unix socket that receives a pidfd of the container's stand-in process");
  verb->add_option("--pid-file", options.pid_file, "file to write the stand-in's process id to");
  verb->add_flag("--no-pivot", options.no_pivot, "accepted; the guest always pivots");
  verb->add_flag("--no-new-keyring", options.no_new_keyring,
                 "accepted; a guest's keyrings are its own");
  verb->add_option("--preserve-fds", options.preserve_fds,
                   "refused unless 0: file descriptors cannot enter a VM");
}

}  // namespace

void add_lifecycle_verbs(const Verbs& verbs) {
  auto [create, create_options] = add_verb<CreateOptions>(
      verbs, "create", "create a container: VM booted, program not yet running");
  add_create_flags(create, *create_options);

  auto [run, run_options] = add_verb<RunOptions>(verbs, "run", "create and start a container");
  add_create_flags(run, run_options->create);
  run->add_flag("--detach,-d", run_options->detach, "leave the container running");
  run->add_flag("--keep", run_options->keep, "do not delete the container when it ends");
  run->add_flag("--no-subreaper", run_options->no_subreaper, "do not reap the stand-in");
  run->add_flag("--timings", run_options->timings,
                "print to standard error where the time went, step by step");

  auto [start, start_options] =
      add_verb<StartOptions>(verbs, "start", "run the program of a created container");
  add_id(start, start_options);

  auto [kill, kill_options] = add_verb<KillOptions>(verbs, "kill", "send a signal to a container");
  add_id(kill, kill_options);
  kill->add_option("signal", kill_options->signal, "name or number")->capture_default_str();
  kill->add_flag("--all,-a", kill_options->all, "to every process of the container");

  auto [remove, remove_options] =
      add_verb<DeleteOptions>(verbs, "delete", "remove a container and all that belongs to it");
  add_id(remove, remove_options);
  remove->add_flag("--force,-f", remove_options->force,
                   "kill it first; succeed when there is none");

  auto [pause, pause_options] = add_verb<PauseOptions>(verbs, "pause", "freeze all processes");
  add_id(pause, pause_options);
  auto [resume, resume_options] = add_verb<ResumeOptions>(verbs, "resume", "go on after a pause");
  add_id(resume, resume_options);
}

void add_exec_verb(const Verbs& verbs) {
  auto [verb, options] =
      add_verb<ExecOptions>(verbs, "exec", "run one more process in a running container");
  add_id(verb, options);
  // Everything after the id belongs to the program, its flags too.
  verb->prefix_command();
  verb->add_option("--console-socket", options->console_socket,
                   "unix socket that receives the terminal's master");
  verb->add_option("--pidfd-socket", options->pidfd_socket,
                   "unix socket that receives a pidfd of the stand-in");
  verb->add_option("--cwd", options->cwd, "working directory in the container");
  verb->add_option("--env,-e", options->env, "NAME=VALUE, may be repeated")
      ->allow_extra_args(false)
      ->take_all();
  verb->add_flag("--tty,-t", options->tty, "give it a terminal");
  verb->add_option("--user,-u", options->user, "UID[:GID]");
  verb->add_option("--additional-gids,-g", options->additional_gids,
                   "additional group, may be repeated")
      ->allow_extra_args(false)
      ->delimiter(',')
      ->take_all();
  verb->add_option("--process,-p", options->process_file, "file with an OCI process object");
  verb->add_flag("--detach,-d", options->detach, "leave it running");
  verb->add_option("--pid-file", options->pid_file, "file to write the stand-in's process id to");
  verb->add_option("--process-label", options->process_label, "refused: no SELinux in the guest");
  verb->add_option("--apparmor", options->apparmor, "refused: no AppArmor in the guest");
  verb->add_flag("--no-new-privs", options->no_new_privs, "set no_new_privs");
  verb->add_option("--cap,-c", options->capabilities, "add a capability, may be repeated")
      ->allow_extra_args(false)
      ->take_all();
  verb->add_option("--preserve-fds", options->preserve_fds,
                   "refused unless 0: file descriptors cannot enter a VM");
  verb->add_option("--cgroup", options->cgroup, "sub-cgroup in the guest to run in");
  verb->add_flag("--ignore-paused", options->ignore_paused, "allow it in a paused container");
  auto* app = verb;
  verb->final_callback([choose = verbs.choose, filled = options, app] {
    filled->args = app->remaining();
    if (!filled->args.empty() && filled->args.front() == "--") {
      filled->args.erase(filled->args.begin());
    }
    choose(*filled);
  });
}

void add_inspection_verbs(const Verbs& verbs) {
  auto [state, state_options] =
      add_verb<StateOptions>(verbs, "state", "print a container's state as JSON");
  add_id(state, state_options);
  state->add_flag("--verbose", state_options->verbose, "with the VM's size, accelerator, disk");

  auto [logs, logs_options] =
      add_verb<LogsOptions>(verbs, "logs", "print the log of a container's own Docker");
  add_id(logs, logs_options);
  logs->add_flag("--docker", logs_options->docker, "what its dockerd has said so far");

  auto [ps, ps_options] = add_verb<PsOptions>(verbs, "ps", "list a container's processes");
  add_id(ps, ps_options);
  ps->add_option("--format,-f", ps_options->format, "table: the guest's; json: host process ids")
      ->check(CLI::IsMember({"table", "json"}));
  ps->prefix_command();
  ps->final_callback([choose = verbs.choose, options = ps_options, app = ps] {
    options->ps_args = app->remaining();
    choose(*options);
  });

  auto [list, list_options] = add_verb<ListOptions>(verbs, "list", "list the containers");
  list->add_option("--format,-f", list_options->format, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  list->add_flag("--quiet,-q", list_options->quiet, "names only");

  auto [events, events_options] =
      add_verb<EventsOptions>(verbs, "events", "print statistics and out-of-memory events");
  add_id(events, events_options);
  events->add_option("--interval", events_options->interval, "between statistics, as 5s or 500ms");
  events->add_flag("--stats", events_options->stats_once, "print statistics once and leave");
}

void add_update_verb(const Verbs& verbs) {
  auto [verb, o] = add_verb<UpdateOptions>(verbs, "update", "change a container's limits");
  add_id(verb, o);
  verb->add_option("--resources,-r", o->resources_file, "file with OCI resources, - for stdin");
  verb->add_option("--blkio-weight", o->blkio_weight, "10 to 1000");
  verb->add_option("--cpu-period", o->cpu_period, "microseconds");
  verb->add_option("--cpu-quota", o->cpu_quota, "microseconds in a period; -1: none");
  verb->add_option("--cpu-burst", o->cpu_burst, "microseconds");
  verb->add_option("--cpu-share", o->cpu_share, "relative weight");
  verb->add_option("--cpu-rt-period", o->cpu_rt_period, "microseconds");
  verb->add_option("--cpu-rt-runtime", o->cpu_rt_runtime, "microseconds");
  verb->add_option("--cpu-idle", o->cpu_idle, "0 or 1");
  verb->add_option("--cpuset-cpus", o->cpuset_cpus, "as 0-3,5");
  verb->add_option("--cpuset-mems", o->cpuset_mems, "memory nodes");
  verb->add_option("--memory", o->memory, "bytes");
  verb->add_option("--memory-reservation", o->memory_reservation, "bytes");
  verb->add_option("--memory-swap", o->memory_swap, "bytes of memory plus swap; -1: no limit");
  verb->add_option("--kernel-memory", o->kernel_memory, "ignored, as by runc");
  verb->add_option("--kernel-memory-tcp", o->kernel_memory_tcp, "ignored, as by runc");
  verb->add_option("--pids-limit", o->pids_limit, "processes; -1: no limit");
  verb->add_option("--l3-cache-schema", o->l3_cache_schema, "refused: no Intel RDT in the guest");
  verb->add_option("--mem-bw-schema", o->mem_bw_schema, "refused: no Intel RDT in the guest");
}

void add_host_verbs(const Verbs& verbs) {
  auto [spec, spec_options] = add_verb<SpecOptions>(verbs, "spec", "write a config.json to edit");
  spec->add_option("--bundle,-b", spec_options->bundle, "directory to write it to");
  spec->add_flag("--rootless", spec_options->rootless, "refused: agentvm needs root");
  add_verb<FeaturesOptions>(verbs, "features", "print the OCI features document");
  auto [check, check_options] = add_verb<CheckOptions>(
      verbs, "check", "tell what this host can do, and what to do about what it cannot");
  check->add_flag("--json", check_options->json, "as JSON");
  auto [config, config_options] = add_verb<ConfigOptions>(
      verbs, "config", "print the configuration in force and where each value came from");
  config->add_flag("--defaults", config_options->defaults, "print the shipped file instead");
  for (const char* name : {"checkpoint", "restore"}) {
    auto [verb, options] = add_verb<RefusedOptions>(verbs, name, "not possible with a microVM yet");
    options->verb = name;
    verb->prefix_command();
  }
}

void add_template_verb(const Verbs& verbs) {
  CLI::App* group = verbs.app.add_subcommand(
      "template", "saved VMs that containers are restored from: make, list, check, remove them");
  group->require_subcommand(1);
  const Verbs inner{*group, verbs.choose};
  const auto add = [&](const char* name, TemplateAction action, const char* description) {
    auto added = add_verb<TemplateOptions>(inner, name, description);
    added.second->action = action;
    return added;
  };
  auto [create, o] = add("create", TemplateAction::create, "make one now, for VMs of one size");
  create->add_option("--vcpus", o->vcpus, "of the VMs (default: the configuration's)")
      ->check(CLI::Range(1, 255));
  create->add_option("--memory", o->memory_mib, "of the VMs in MiB (default: the configuration's)")
      ->check(CLI::Range(kMinMemoryMib, kMaxMemoryMib));
  create->add_flag("--force,-f", o->force, "make it anew when there is one");
  auto [list, list_options] = add("ls", TemplateAction::list, "list them, the last used first");
  list->alias("list");
  list->add_option("--format,-f", list_options->format, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  auto [remove, remove_options] = add("rm", TemplateAction::remove, "remove some");
  remove->add_option("name", remove_options->names, "as `ls` tells it")->required()->take_all();
  auto [prune, prune_options] =
      add("prune", TemplateAction::prune, "remove damaged and unfinished ones, and the least used");
  prune->add_flag("--all,-a", prune_options->all, "remove all");
  auto [verify, verify_options] = add("verify", TemplateAction::verify, "check every byte");
  verify->add_option("name", verify_options->names, "as `ls` tells it; default: all")->take_all();
}

void add_pool_verb(const Verbs& verbs) {
  CLI::App* group = verbs.app.add_subcommand(
      "pool", "VMs that wait for containers: fill the pool, list them, end them");
  group->require_subcommand(1);
  const Verbs inner{*group, verbs.choose};
  auto [fill, fill_options] =
      add_verb<PoolOptions>(inner, "fill", "make VMs until as many wait as pool.size says");
  fill_options->action = PoolAction::fill;
  auto [list, list_options] = add_verb<PoolOptions>(inner, "ls", "list them");
  list->alias("list");
  list->add_option("--format,-f", list_options->format, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  auto [drain, drain_options] =
      add_verb<PoolOptions>(inner, "drain", "end those that wait; containers keep theirs");
  drain_options->action = PoolAction::drain;
}

void add_install_verb(const Verbs& verbs) {
  CLI::App* group = verbs.app.add_subcommand(
      "install", "make agentvm a runtime of an engine, in the engine's own configuration");
  group->require_subcommand(1);
  const Verbs inner{*group, verbs.choose};
  const auto add = [&](const char* name, EngineKind engine, const char* description) {
    auto [verb, options] = add_verb<InstallOptions>(inner, name, description);
    options->engine = engine;
    verb->add_option("--name", options->name, "of the runtime (default: agentvm)");
    verb->add_option("--file", options->file, "the engine's configuration, if it is elsewhere");
    verb->add_flag("--remove", options->remove, "take it out again");
    verb->add_flag("--dry-run", options->dry_run, "only print what would be written");
    if (engine != EngineKind::docker) return;
    verb->add_option("--plugins", options->plugins,
                     "where `docker sandbox` is linked (default: /usr/libexec/docker/cli-plugins, "
                     "with --file nowhere)");
  };
  add("docker", EngineKind::docker, "/etc/docker/daemon.json");
  add("containerd", EngineKind::containerd, "/etc/containerd/config.toml, for Kubernetes");
  add("podman", EngineKind::podman, "/etc/containers/containers.conf.d/agentvm.conf");
}

void add_program_verbs(const Verbs& verbs) {
  const auto add = [&](const char* name, const char* program, const char* description) {
    auto [verb, options] = add_verb<ProgramOptions>(verbs, name, description);
    options->program = program;
    // --help too is the program's.
    verb->set_help_flag();
    verb->prefix_command();
    verb->final_callback([choose = verbs.choose, chosen = options, app = verb] {
      chosen->args = app->remaining();
      choose(*chosen);
    });
  };
  add("sandbox", "agentvm-sandbox", "coding agents in microVMs; agentvm-sandbox(1)");
  add("image", "agentvm-images", "the images of coding agents: build them, list them");
}

}  // namespace agentvm::runtime::cli
