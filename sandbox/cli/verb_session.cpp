#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "sandbox/cli/session_verbs.h"
#include "sandbox/cli/verbs.h"
#include "sandbox/engine/container_request.h"
#include "sandbox/engine/detach_keys.h"
#include "sandbox/engine/frames.h"
#include "sandbox/engine/session.h"
#include "sandbox/life.h"
#include "sandbox/run_plan.h"

namespace agentvm::sandbox {

namespace {

struct ExecOptions {
  std::string name;
  std::vector<std::string> command;
  std::vector<std::string> environment;
  std::string directory;
  bool root = false;
  bool input = false;
  bool tty = false;
  bool detach = false;
  std::string detach_keys = "ctrl-p,ctrl-q";
};

struct LogsOptions {
  std::string name;
  LogOrder order;
};

Result<ExecOrder> exec_order(const ExecOptions& options) {
  ExecOrder order;
  // As root: the script becomes the agent, with the sandbox's environment.
  order.user = "0:0";
  order.command = {"/bin/sh", std::string(kGuestPlace) + "/enter.sh", "exec", options.directory,
                   options.root ? "root" : ""};
  order.command.insert(order.command.end(), options.command.begin(), options.command.end());
  for (const std::string& text : options.environment) {
    auto variable = TRY(parse_variable(text));
    if (variable) order.environment.push_back(*std::move(variable));
  }
  order.tty = options.tty;
  order.input = options.input;
  order.detach = options.detach;
  return order;
}

// Docker closes the stream a moment before it knows the status.
Result<int> status_of(const Docker& docker, const std::string& exec) {
  constexpr int kTries = 500;
  for (int i = 0; i < kTries; ++i) {
    const auto status = TRY(docker.exec_status(exec));
    if (status) return *status;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return fail(ErrorKind::unavailable, "Docker does not tell the command's exit status");
}

Result<int> run_exec(const World& world, const ExecOptions& options) {
  const Docker docker = TRY(connect_docker(world));
  const Record record = TRY(load_record(world.place, options.name));
  const ContainerView view = TRY(container_of(docker, record));
  if (!view.runs()) {
    return fail(
        ErrorKind::failed_precondition,
        fmt::format("sandbox '{0}' does not run: `agentvm sandbox start {0}`", record.name));
  }
  const Resolved resolved = TRY(refresh(world, record));
  tell_missing(resolved);
  const ExecOrder order = TRY(exec_order(options));
  const std::string exec =
      TRY(docker.create_exec(record.container, order), "exec in '{}'", record.name);
  if (options.detach) {
    TRY(docker.start_exec_detached(exec), "exec in '{}'", record.name);
    return 0;
  }
  SessionOrder session;
  session.detach_keys = TRY(parse_detach_keys(options.detach_keys));
  session.stream = TRY(docker.start_exec(exec, options.tty), "exec in '{}'", record.name);
  session.tty = options.tty;
  session.input = options.input;
  session.resize = [&](unsigned rows, unsigned columns) {
    (void)docker.resize_exec(exec, rows, columns);
  };
  const SessionEnd end = TRY(run_session(std::move(session)));
  return end == SessionEnd::detached ? Result<int>(0) : status_of(docker, exec);
}

Result<int> run_logs(const World& world, const LogsOptions& options) {
  const Docker docker = TRY(connect_docker(world));
  const Record record = TRY(load_record(world.place, options.name));
  const ContainerView view = TRY(container_of(docker, record));
  Result<void> outcome;
  FrameReader frames([](int stream, std::string_view bytes) {
    return sys::write_all(stream == 2 ? STDERR_FILENO : STDOUT_FILENO, bytes);
  });
  TRY(docker.logs(record.container, options.order, [&](std::string_view bytes) {
    outcome = view.tty ? sys::write_all(STDOUT_FILENO, bytes) : frames.feed(bytes);
    return outcome.has_value();
  }));
  if (!outcome) return std::unexpected(std::move(outcome).error());
  return 0;
}

}  // namespace

void add_session_verbs(const Verbs& verbs) {
  auto [exec, o] =
      add_verb<ExecOptions>(verbs, "exec", "run a command in a sandbox, as its user", run_exec);
  exec->prefix_command();
  exec->add_flag("--interactive,-i", o->input, "send standard input");
  exec->add_flag("--tty,-t", o->tty, "give it a terminal");
  exec->add_flag("--detach,-d", o->detach, "do not wait for it");
  exec->add_flag("--root", o->root, "as root instead of the agent's user");
  exec->add_option("--workdir,-w", o->directory, "directory to run it in");
  exec->add_option("--env,-e", o->environment, "NAME=VALUE, or NAME for the value from here")
      ->allow_extra_args(false)
      ->take_all();
  exec->add_option("--detach-keys", o->detach_keys, "that leave it running")->capture_default_str();
  exec->add_option("NAME", o->name, "of the sandbox")->required();
  exec->final_callback([choose = verbs.choose, options = o, app = exec, tail = verbs.tail] {
    options->command = app->remaining();
    if (tail) options->command.insert(options->command.end(), tail->begin(), tail->end());
    if (options->command.empty()) throw CLI::RequiredError("COMMAND");
    choose([options](const World& world) { return run_exec(world, *options); });
  });
  auto [logs, l] = add_verb<LogsOptions>(verbs, "logs", "what the agent has written", run_logs);
  logs->add_option("NAME", l->name, "of the sandbox")->required();
  logs->add_flag("--follow,-f", l->order.follow, "go on with what it writes");
  logs->add_option("--tail,-n", l->order.tail, "lines from the end, or all")->capture_default_str();
  logs->add_flag("--timestamps,-t", l->order.timestamps, "with the time of each line");
}

}  // namespace agentvm::sandbox
