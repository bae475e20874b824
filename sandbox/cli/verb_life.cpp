#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "oci/base/json_writer.h"
#include "oci/base/try.h"
#include "sandbox/cli/session_verbs.h"
#include "sandbox/cli/verbs.h"
#include "sandbox/engine/container_request.h"
#include "sandbox/life.h"

namespace agentvm::sandbox {

namespace {

struct NamesOptions {
  std::vector<std::string> names;
  bool force = false;
  unsigned seconds = 5;
};

struct SaveOptions {
  std::string name;
  std::string image;
};

void add_names(CLI::App* verb, NamesOptions& options) {
  verb->add_option("NAME", options.names, "of the sandbox")->required()->take_all();
}

void add_seconds(CLI::App* verb, NamesOptions& options) {
  verb->add_option("--time,-t", options.seconds, "seconds until it is killed")
      ->capture_default_str()
      ->check(CLI::Range(0, 3600));
}

// Answers no where nobody can answer.
bool confirmed(const std::string& question) {
  if (::isatty(STDIN_FILENO) != 1) return false;
  fmt::print(stderr, "{} [y/N] ", question);
  const int answer = std::getchar();
  return answer == 'y' || answer == 'Y';
}

// The verb for each of the names; the first error, after all had their turn.
template <class Each>
Result<int> for_each_name(const World& world, const std::vector<std::string>& names, Each each) {
  TRY(make_place(world.place));
  const Docker docker = TRY(connect_docker(world));
  Result<int> outcome = 0;
  for (const std::string& name : names) {
    auto record = load_record(world.place, name);
    auto done =
        record ? each(docker, *record) : Result<void>(std::unexpected(std::move(record).error()));
    if (done) {
      fmt::print("{}\n", name);
      continue;
    }
    outcome = std::unexpected(outcome ? std::move(done).error()
                                      : std::move(outcome).error().also(done.error()));
  }
  return outcome;
}

Result<void> start_one(const World& world, const Docker& docker, const Record& record) {
  const ContainerView view = TRY(container_of(docker, record));
  const Resolved resolved = TRY(refresh(world, record));
  tell_missing(resolved);
  if (view.runs()) return {};
  return start_container(docker, record);
}

Result<void> stop_one(const Docker& docker, const Record& record, unsigned seconds) {
  (void)TRY(container_of(docker, record));
  TRY(docker.stop(record.container, seconds), "stop sandbox '{}'", record.name);
  return {};
}

Result<int> run_start(const World& world, const NamesOptions& options) {
  return for_each_name(world, options.names, [&](const Docker& docker, const Record& record) {
    return start_one(world, docker, record);
  });
}

Result<int> run_stop(const World& world, const NamesOptions& options) {
  return for_each_name(world, options.names, [&](const Docker& docker, const Record& record) {
    return stop_one(docker, record, options.seconds);
  });
}

Result<int> run_restart(const World& world, const NamesOptions& options) {
  return for_each_name(world, options.names,
                       [&](const Docker& docker, const Record& record) -> Result<void> {
                         TRY(stop_one(docker, record, options.seconds));
                         return start_one(world, docker, record);
                       });
}

Result<int> run_remove(const World& world, const NamesOptions& options) {
  return for_each_name(
      world, options.names, [&](const Docker& docker, const Record& record) -> Result<void> {
        const auto view = docker.inspect(record.container);
        if (view && view->runs() && !options.force) {
          return fail(ErrorKind::failed_precondition,
                      fmt::format("sandbox '{}' runs: stop it first, or use --force", record.name));
        }
        TRY(remove_sandbox(world, docker, record), "remove sandbox '{}'", record.name);
        return {};
      });
}

Result<int> run_prune(const World& world, const NamesOptions& options) {
  TRY(make_place(world.place));
  const Docker docker = TRY(connect_docker(world));
  std::vector<std::string> stopped;
  for (const std::string& name : TRY(sandbox_names(world.place))) {
    const auto record = load_record(world.place, name);
    if (!record) continue;
    const auto view = docker.inspect(record->container);
    if (!view && view.error().kind != ErrorKind::not_found) return std::unexpected(view.error());
    if (!view || !view->runs()) stopped.push_back(name);
  }
  if (stopped.empty()) return 0;
  if (!options.force &&
      !confirmed(fmt::format("remove {} sandboxes that do not run?", stopped.size()))) {
    return fail(ErrorKind::failed_precondition, "nothing is removed without an answer, or --force");
  }
  return for_each_name(world, stopped, [&](const Docker& engine, const Record& record) {
    return remove_sandbox(world, engine, record);
  });
}

Result<int> run_reset(const World& world, const NamesOptions& options) {
  if (!options.force &&
      !confirmed("what was installed and changed outside of the workspace is lost; go on?")) {
    return fail(ErrorKind::failed_precondition, "nothing is reset without an answer, or --force");
  }
  return for_each_name(
      world, options.names, [&](const Docker& docker, Record record) -> Result<void> {
        const auto view = docker.inspect(record.container);
        const bool ran = view && view->runs();
        TRY(remake_container(world, docker, record), "reset sandbox '{}'", record.name);
        return ran ? start_container(docker, record) : Result<void>();
      });
}

// What made the container a sandbox must not stay in the image. A commit cannot take out, only
// overwrite, and what is empty counts as not given: hence a shell where the image has no command.
std::string saved_config(const ImageView& before) {
  using Words = std::vector<std::string>;
  JsonWriter json;
  json.begin_object().key("Env");
  write_json(json, Words{std::string(kMarker) + "="});
  json.key("Entrypoint");
  write_json(json, before.entrypoint);
  json.key("Cmd");
  const bool starts = !before.command.empty() || !before.entrypoint.empty();
  write_json(json, starts ? before.command : Words{"/bin/sh"});
  json.key("User").value(before.user.empty() ? "0:0" : before.user);
  json.key("WorkingDir").value(before.directory.empty() ? "/" : before.directory);
  json.key("Labels").begin_object();
  for (const char* label : {kLabel, kAgentLabel, kWorkspaceLabel}) json.key(label).value("");
  return json.end_object().end_object().take();
}

Result<int> run_save(const World& world, const SaveOptions& options) {
  TRY(make_place(world.place));
  const Docker docker = TRY(connect_docker(world));
  const Record record = TRY(load_record(world.place, options.name));
  const ImageView before = TRY(docker.inspect_image(record.image), "image '{}'", record.image);
  const std::string id = TRY(docker.commit(record.container, options.image, saved_config(before)),
                             "save '{}'", record.name);
  fmt::print("{}\n", id);
  return 0;
}

}  // namespace

void add_life_verbs(const Verbs& verbs) {
  auto [start, s] = add_verb<NamesOptions>(verbs, "start", "start agents, unconnected", run_start);
  add_names(start, *s);
  auto [stop, p] = add_verb<NamesOptions>(verbs, "stop", "stop sandboxes; they keep all", run_stop);
  add_names(stop, *p);
  add_seconds(stop, *p);
  auto [restart, r] = add_verb<NamesOptions>(verbs, "restart", "stop and start", run_restart);
  add_names(restart, *r);
  add_seconds(restart, *r);
  auto [remove, m] = add_verb<NamesOptions>(
      verbs, "rm", "remove sandboxes with all but their workspaces", run_remove);
  add_names(remove, *m);
  remove->add_flag("--force,-f", m->force, "also those that run");
  auto [prune, u] =
      add_verb<NamesOptions>(verbs, "prune", "remove those that do not run", run_prune);
  prune->add_flag("--force,-f", u->force, "without asking");
  auto [reset, e] = add_verb<NamesOptions>(
      verbs, "reset", "a fresh state from the image, with the same settings and workspaces",
      run_reset);
  add_names(reset, *e);
  reset->add_flag("--force,-f", e->force, "without asking");
  auto [save, v] =
      add_verb<SaveOptions>(verbs, "save", "make an image of a sandbox, for --template", run_save);
  save->add_option("NAME", v->name, "of the sandbox")->required();
  save->add_option("IMAGE", v->image, "its name, with a tag if wanted")->required();
}

}  // namespace agentvm::sandbox
