#include <unistd.h>

#include <charconv>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "oci/spec_parser.h"
#include "runtime/cli/pid_file.h"
#include "runtime/cli/verbs.h"
#include "runtime/container/exec.h"
#include "runtime/container/kill.h"

namespace agentvm::runtime::cli {

namespace {

constexpr std::size_t kMaxDocument = 1U << 20;

Result<std::uint32_t> parse_id(std::string_view text, std::string_view what) {
  std::uint32_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || text.empty()) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("--user: {} '{}' is not a number", what, text));
  }
  return value;
}

Result<void> apply_user(const std::string& user, oci::Process& process) {
  if (user.empty()) return {};
  const std::size_t colon = user.find(':');
  process.user.uid = TRY(parse_id(std::string_view(user).substr(0, colon), "UID"));
  if (colon != std::string::npos) {
    process.user.gid = TRY(parse_id(std::string_view(user).substr(colon + 1), "GID"));
  }
  return {};
}

// As runc: what the bundle's process is, changed by the flags.
Result<oci::Process> process_from_flags(const Engine& engine, const ExecOptions& options) {
  if (options.args.empty()) {
    return fail(ErrorKind::invalid_argument, "process args cannot be empty");
  }
  const auto opened = TRY(open_container(engine, options.id));
  const std::string path = opened.record.bundle + "/config.json";
  const std::string json = TRY(sys::read_file(path, 16 * kMaxDocument));
  const auto spec = TRY(oci::parse_spec(json), "{}", path);
  oci::Process process = spec.process.value_or(oci::Process{});
  process.args = options.args;
  process.terminal = options.tty;
  if (!options.cwd.empty()) process.cwd = options.cwd;
  process.env.insert(process.env.end(), options.env.begin(), options.env.end());
  process.no_new_privileges = process.no_new_privileges || options.no_new_privs;
  process.user.additional_gids.insert(process.user.additional_gids.end(),
                                      options.additional_gids.begin(),
                                      options.additional_gids.end());
  if (!options.capabilities.empty() && !process.capabilities) process.capabilities.emplace();
  for (const std::string& name : options.capabilities) {
    oci::Capabilities& sets = *process.capabilities;
    for (auto* set : {&sets.bounding, &sets.effective, &sets.permitted, &sets.ambient}) {
      set->push_back(name);
    }
  }
  TRY(apply_user(options.user, process));
  return process;
}

Result<oci::Process> process_of(const Engine& engine, const ExecOptions& options) {
  if (options.process_file.empty()) return process_from_flags(engine, options);
  const std::string json = TRY(sys::read_file(options.process_file, kMaxDocument));
  return TRY(oci::parse_process(json), "{}", options.process_file);
}

Result<void> check_flags(const ExecOptions& options, const oci::Process& process) {
  if (options.preserve_fds != 0) {
    return fail(ErrorKind::invalid_argument,
                "--preserve-fds: file descriptors of the host cannot be passed into a microVM");
  }
  if (!options.apparmor.empty() || !options.process_label.empty()) {
    return fail(ErrorKind::invalid_argument,
                "--apparmor and --process-label: the guest's kernel has no such security module; "
                "the VM confines the process");
  }
  const bool needs_socket = options.detach && process.terminal;
  if (needs_socket && options.console_socket.empty()) {
    return fail(ErrorKind::invalid_argument,
                "cannot allocate tty if runc will detach without setting console socket");
  }
  if (!options.console_socket.empty() && !needs_socket) {
    return fail(ErrorKind::invalid_argument,
                "cannot use console socket if runc will not detach or allocate tty");
  }
  return {};
}

Result<void> tell_pid(const ExecOptions& options, pid_t pid) {
  if (!options.pidfd_socket.empty()) TRY(send_pidfd(options.pidfd_socket, pid));
  if (!options.pid_file.empty()) TRY(write_pid_file(options.pid_file, pid));
  return {};
}

}  // namespace

Result<int> run_exec(const Engine& engine, const ExecOptions& options) {
  ExecRequest request;
  request.id = options.id;
  request.process = TRY(process_of(engine, options));
  request.console_socket = options.console_socket;
  request.cgroup = options.cgroup;
  request.ignore_paused = options.ignore_paused;
  TRY(check_flags(options, request.process));
  if (options.detach) {
    const pid_t pid = TRY(exec_detached(engine, request), "exec failed");
    TRY(tell_pid(options, pid));
    return 0;
  }
  TRY(tell_pid(options, ::getpid()));
  const InitExit exit = TRY(exec_attached(engine, request), "exec failed");
  return static_cast<int>(exit.signal != 0 ? 128 + exit.signal : exit.code);
}

}  // namespace agentvm::runtime::cli
