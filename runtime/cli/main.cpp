// The `agentvm` command: arguments, log, configuration, one verb.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <variant>

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/cli/arguments.h"
#include "runtime/cli/verbs.h"

namespace agentvm::runtime::cli {

namespace {

Result<void> open_log(const Globals& globals) {
  log::Sink sink;
  sink.format = globals.log_format == "json" ? log::Format::json : log::Format::text;
  sink.threshold = globals.debug ? log::Level::debug : log::Level::info;
  if (!globals.log_path.empty()) {
    sink.fd = TRY(sys::open_at(AT_FDCWD, globals.log_path, O_WRONLY | O_CREAT | O_APPEND, 0644),
                  "the log file");
  }
  log::set_sink(std::move(sink));
  return {};
}

Result<Engine> make_engine(const Globals& globals) {
  Engine engine;
  engine.root = globals.root;
  engine.systemd_cgroup = globals.systemd_cgroup;
  const bool named = !globals.config_path.empty();
  engine.config_path = named ? globals.config_path : kConfigPath;
  engine.config = TRY(load_config(engine.config_path, named));
  return engine;
}

Result<int> run_verb(const Engine& engine, const Command& command) {
  struct Dispatch {
    const Engine& engine;
    Result<int> operator()(const CreateOptions& o) const { return run_create(engine, o); }
    Result<int> operator()(const RunOptions& o) const { return run_run(engine, o); }
    Result<int> operator()(const StartOptions& o) const { return run_start(engine, o); }
    Result<int> operator()(const StateOptions& o) const { return run_state(engine, o); }
    Result<int> operator()(const LogsOptions& o) const { return run_logs(engine, o); }
    Result<int> operator()(const KillOptions& o) const { return run_kill(engine, o); }
    Result<int> operator()(const DeleteOptions& o) const { return run_delete(engine, o); }
    Result<int> operator()(const PauseOptions& o) const { return run_pause(engine, o); }
    Result<int> operator()(const ResumeOptions& o) const { return run_resume(engine, o); }
    Result<int> operator()(const ExecOptions& o) const { return run_exec(engine, o); }
    Result<int> operator()(const PsOptions& o) const { return run_ps(engine, o); }
    Result<int> operator()(const ListOptions& o) const { return run_list(engine, o); }
    Result<int> operator()(const EventsOptions& o) const { return run_events(engine, o); }
    Result<int> operator()(const UpdateOptions& o) const { return run_update(engine, o); }
    Result<int> operator()(const SpecOptions& o) const { return run_spec(engine, o); }
    Result<int> operator()(const FeaturesOptions& o) const { return run_features(engine, o); }
    Result<int> operator()(const CheckOptions& o) const { return run_check(engine, o); }
    Result<int> operator()(const ConfigOptions& o) const { return run_config(engine, o); }
    Result<int> operator()(const TemplateOptions& o) const { return run_template(engine, o); }
    Result<int> operator()(const PoolOptions& o) const { return run_pool(engine, o); }
    Result<int> operator()(const InstallOptions& o) const { return run_install(engine, o); }
    Result<int> operator()(const ProgramOptions& o) const { return run_program(engine, o); }
    Result<int> operator()(const RefusedOptions& o) const { return run_refused(engine, o); }
  };
  return std::visit(Dispatch{engine}, command);
}

// The shim shows the last error line of --log for create and exec, and matches on stderr for the
// other verbs: the same words go to both.
void report(const Error& error, bool has_log_file) {
  const std::string text = error.text();
  log::error("{}", text);
  if (has_log_file) fmt::print(stderr, "{}\n", text);
}

int failure_status(const Command& command) {
  // runc: 255 from exec, so that it is not mistaken for the program's own status.
  return std::holds_alternative<ExecOptions>(command) ? 255 : 1;
}

Result<int> run(const Arguments& arguments) {
  TRY(open_log(arguments.globals));
  const Engine engine = TRY(make_engine(arguments.globals));
  return run_verb(engine, arguments.command);
}

// Descriptors that a caller leaked into us must not end up in a monitor; 0, 1 and 2 must be
// open, so that no file of ours lands there.
void tidy_descriptors() {
  (void)::syscall(SYS_close_range, 3U, ~0U, 0U);
  for (int fd = ::open("/dev/null", O_RDWR); fd >= 0 && fd <= 2;) fd = ::open("/dev/null", O_RDWR);
  (void)::syscall(SYS_close_range, 3U, ~0U, 0U);
}

}  // namespace

int main_of(int argc, char** argv) {
  tidy_descriptors();
  auto parsed = parse_arguments(argc, argv);
  if (const int* status = std::get_if<int>(&parsed)) return *status;
  const Arguments& arguments = std::get<Arguments>(parsed);
  auto outcome = run(arguments);
  if (outcome) return *outcome;
  report(outcome.error(), !arguments.globals.log_path.empty());
  return failure_status(arguments.command);
}

}  // namespace agentvm::runtime::cli

int main(int argc, char** argv) {
  return agentvm::runtime::cli::main_of(argc, argv);
}
