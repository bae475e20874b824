#include <fmt/format.h>

#include "oci/base/log.h"
#include "oci/base/try.h"
#include "runtime/cli/pid_file.h"
#include "runtime/cli/verbs.h"
#include "runtime/container/create.h"
#include "runtime/container/freeze.h"
#include "runtime/container/kill.h"
#include "runtime/container/remove.h"
#include "runtime/container/start.h"

namespace agentvm::runtime::cli {

namespace {

Result<void> check_create_flags(const CreateOptions& options) {
  if (options.preserve_fds == 0) return {};
  return fail(ErrorKind::invalid_argument,
              "--preserve-fds: file descriptors of the host cannot be passed into a microVM; mount "
              "the files or use standard input and output");
}

}  // namespace

Result<int> run_create(const Engine& engine, const CreateOptions& options) {
  TRY(check_create_flags(options));
  const auto created =
      TRY(create_container(engine, {options.id, options.bundle, options.console_socket, false}));
  const pid_t pid = created.record.monitor.pid;
  Result<void> told;
  if (!options.pidfd_socket.empty()) told = send_pidfd(options.pidfd_socket, pid);
  if (told && !options.pid_file.empty()) {
    told = write_pid_file(options.pid_file, pid);
  }
  if (told) return 0;
  // The caller does not learn of the container: it must not stay.
  Error error = std::move(told).error();
  if (auto removed = remove_container(engine, options.id, true); !removed) {
    error = std::move(error).also(removed.error());
  }
  return std::unexpected(std::move(error));
}

Result<int> run_start(const Engine& engine, const StartOptions& options) {
  TRY(start_container(engine, options.id));
  return 0;
}

Result<int> run_kill(const Engine& engine, const KillOptions& options) {
  const int signal = TRY(parse_signal(options.signal));
  TRY(kill_container(engine, options.id, signal, options.all));
  return 0;
}

Result<int> run_delete(const Engine& engine, const DeleteOptions& options) {
  TRY(remove_container(engine, options.id, options.force));
  return 0;
}

Result<int> run_pause(const Engine& engine, const PauseOptions& options) {
  TRY(pause_container(engine, options.id));
  return 0;
}

Result<int> run_resume(const Engine& engine, const ResumeOptions& options) {
  TRY(resume_container(engine, options.id));
  return 0;
}

Result<int> run_refused(const Engine& /*engine*/, const RefusedOptions& options) {
  return fail(ErrorKind::invalid_argument,
              fmt::format("{}: agentvm does not save running containers; stop the container and "
                          "start a new one",
                          options.verb));
}

}  // namespace agentvm::runtime::cli
