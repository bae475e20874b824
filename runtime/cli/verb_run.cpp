#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <memory>

#include "oci/base/log.h"
#include "oci/base/try.h"
#include "runtime/cli/pid_file.h"
#include "runtime/cli/verbs.h"
#include "runtime/console.h"
#include "runtime/container/create.h"
#include "runtime/container/remove.h"
#include "runtime/container/start.h"
#include "runtime/session/process_streams.h"

namespace agentvm::runtime::cli {

namespace {

// What we pass on to the stand-in; it relays them to the guest's init.
constexpr std::array kForwarded{SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,
                                SIGUSR2, SIGALRM, SIGCONT, SIGTSTP, SIGWINCH};

sigset_t forwarded_set() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : kForwarded) sigaddset(&set, signal);
  sigaddset(&set, SIGCHLD);
  return set;
}

// Waits for the stand-in, passing signals on meanwhile. The set is blocked by the caller.
int wait_for_monitor(pid_t monitor, const sigset_t& set) {
  for (;;) {
    int status = 0;
    const pid_t reaped = ::waitpid(monitor, &status, WNOHANG);
    if (reaped == monitor) {
      return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    if (reaped < 0 && errno == ECHILD) return 255;
    const int signal = ::sigwaitinfo(&set, nullptr);
    if (signal > 0 && signal != SIGCHLD) (void)::kill(monitor, signal);
  }
}

// The guest's pty does the line discipline from here on.
Result<void> make_raw(std::unique_ptr<RawTerminal>& raw) {
  auto terminal = TRY(inherit_terminal());
  raw = TRY(RawTerminal::create(terminal.get()));
  // RawTerminal borrows the descriptor for the rest of the process's life.
  (void)terminal.release();
  return {};
}

Result<void> tell_pid(const CreateOptions& options, pid_t pid) {
  if (!options.pidfd_socket.empty()) TRY(send_pidfd(options.pidfd_socket, pid));
  if (!options.pid_file.empty()) TRY(write_pid_file(options.pid_file, pid));
  return {};
}

int finish(const RunOptions& options, const Timings& timings, int status) {
  if (options.timings) fmt::print(stderr, "{}", timings.table());
  return status;
}

}  // namespace

Result<int> run_run(const Engine& engine, const RunOptions& options) {
  const CreateOptions& create = options.create;
  if (create.preserve_fds != 0) return run_create(engine, create);  // refuses, with the reason
  const bool foreground = !options.detach;
  if (foreground && !options.no_subreaper) (void)::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const sigset_t set = forwarded_set();
  Timings timings;
  const auto created = TRY(create_container(
      engine, {create.id, create.bundle, create.console_socket, foreground, &timings}));
  const pid_t monitor = created.record.monitor.pid;
  auto outcome = tell_pid(create, monitor);
  std::unique_ptr<RawTerminal> raw;
  if (foreground) (void)::sigprocmask(SIG_BLOCK, &set, nullptr);
  if (outcome && foreground && created.terminal) outcome = make_raw(raw);
  if (outcome) outcome = start_container(engine, create.id);
  timings.mark("started");
  if (outcome && !foreground) return finish(options, timings, 0);
  const int status = outcome ? wait_for_monitor(monitor, set) : 1;
  raw.reset();
  timings.mark("program and VM ended");
  if (outcome && options.keep) return finish(options, timings, status);
  auto removed = remove_container(engine, create.id, true);
  if (!outcome) {
    Error error = std::move(outcome).error();
    return std::unexpected(removed ? std::move(error) : std::move(error).also(removed.error()));
  }
  TRY(std::move(removed));
  timings.mark("deleted");
  return finish(options, timings, status);
}

}  // namespace agentvm::runtime::cli
