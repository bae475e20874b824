#include "guest-agent/launch/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "guest-agent/launch/argv.h"
#include "guest-agent/launch/clone.h"
#include "guest-agent/launch/environment.h"
#include "guest-agent/launch/identity.h"
#include "guest-agent/launch/lookup.h"
#include "guest-agent/launch/namespaces.h"
#include "guest-agent/launch/start_hooks.h"
#include "guest-agent/launch/terminal.h"
#include "oci/base/signals.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

Result<void> set_stdio(ChildStdio& stdio) {
  const UniqueFd null = TRY(sys::open_at(AT_FDCWD, "/dev/null", O_RDWR));
  // Given away: the numbers are closed with all others of the agent.
  const std::array sources{stdio.in.release(), stdio.out.release(), stdio.err.release()};
  for (int fd = 0; fd < 3; ++fd) {
    const int source = sources[static_cast<std::size_t>(fd)];
    const bool given = source >= 0 && !stdio.terminal;
    if (::dup2(given ? source : null.get(), fd) < 0) return fail_errno(errno, "stdio");
  }
  return {};
}

// Nothing of the guest or of the set-up may be found in /proc/PID/fd while the process waits, nor
// be there after execve(2) (CVE-2024-21626).
Result<void> close_the_rest(Child& child) {
  close_all_but({child.link.fd(), child.hook_state, child.stdio.listener.get()});
  return {};
}

Result<void> make_environment(Child& child) {
  child.environment = unique_environment(child.process.env);
  auto root = TRY(sys::open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
  add_home(child.environment, root.get(), child.process.user.uid);
  if (child.stdio.listener) {
    child.environment.push_back(fmt::format("LISTEN_PID={}", ::getpid()));
    child.environment.emplace_back("LISTEN_FDS=1");
  }
  return {};
}

Result<void> own_stdio(Child& child) {
  return give_stdio(child.process.user);
}

Result<void> own_personality(Child& child) {
  if (!child.spec.linux_->personality) return {};
  return set_personality(*child.spec.linux_->personality);
}

// Without no_new_privs a filter takes CAP_SYS_ADMIN, which is about to go.
Result<void> privileged_seccomp(Child& child) {
  if (child.seccomp == nullptr || child.process.no_new_privileges) return {};
  return load_seccomp(*child.seccomp);
}

Result<void> no_new_privileges(Child& child) {
  if (!child.process.no_new_privileges) return {};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno(errno, "prctl");
  return {};
}

Result<void> bounding_set(Child& child) {
  TRY(drop_bounding(child.capabilities.bounding));
  return keep_capabilities();
}

// Tried as root first, as runc does: a directory that only the user may enter is tried again.
Result<void> cwd_as_root(Child& child) {
  Result<void> entered = enter_cwd(child.process.cwd);
  child.in_cwd = entered.has_value();
  if (!entered && entered.error().kind != ErrorKind::failed_precondition) return entered;
  return {};
}

Result<void> user(Child& child) {
  return become_user(child.process.user);
}

Result<void> cwd_as_user(Child& child) {
  if (!child.in_cwd) TRY(enter_cwd(child.process.cwd));
  return check_cwd();
}

Result<void> capability_sets(Child& child) {
  TRY(set_capabilities(child.capabilities));
  // A change of user or capabilities may have made the process, which still has the agent's memory,
  // open to others of the container.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_errno(errno, "prctl");
  return {};
}

// Here, so that a program that is not there is an error of create.
Result<void> look_up_program(Child& child) {
  child.program =
      TRY(find_program(child.process.args[0], environment_value(child.environment, "PATH")));
  return {};
}

Result<void> report_and_wait(Child& child) {
  TRY(child.link.send(ReportKind::ready));
  return child.link.wait_for_go();
}

Result<void> start_hooks(Child& child) {
  if (child.hook_state < 0) return {};
  return run_start_hooks(child.spec.hooks.start_container, child.hook_state);
}

// As late as can be: the profile need not allow what comes before.
Result<void> unprivileged_seccomp(Child& child) {
  TRY(child.link.send(ReportKind::executing));
  if (child.seccomp == nullptr || !child.process.no_new_privileges) return {};
  return load_seccomp(*child.seccomp);
}

// The last before the program: the number may have been another descriptor's until now.
Result<void> hand_over_listener(Child& child) {
  if (!child.stdio.listener) return {};
  constexpr int kFirstListener = 3;
  const int given = child.stdio.listener.get();
  if (given <= kFirstListener || child.link.fd() == kFirstListener) {
    return fail(ErrorKind::internal, "descriptor 3 is in use");
  }
  if (::dup2(given, kFirstListener) < 0) return fail_errno(errno, "hand over the listener");
  return {};
}

Result<void> execute(Child& child) {
  const Argv args(child.process.args);
  const Argv environment(child.environment);
  ::execve(child.program.c_str(), args.get(), environment.get());
  return fail(kind_of_errno(errno), fmt::format("exec {}: {}", child.program, reason_of(errno)));
}

constexpr std::array kSteps = std::to_array<Step<Child>>({
    {"close descriptors", close_the_rest},
    {"make the environment", make_environment},
    {"hand over stdio", own_stdio},
    {"set the personality", own_personality},
    {"load the seccomp filter", privileged_seccomp, StepError::verbatim},
    {"set no_new_privs", no_new_privileges},
    {"drop capabilities", bounding_set},
    {"enter the working directory", cwd_as_root, StepError::verbatim},
    {"become the user", user},
    {"enter the working directory", cwd_as_user, StepError::verbatim},
    {"set capabilities", capability_sets},
    {"look up the program", look_up_program, StepError::verbatim},
    {"wait for start", report_and_wait},
    {"run hooks", start_hooks, StepError::verbatim},
    {"load the seccomp filter", unprivileged_seccomp, StepError::verbatim},
    {"hand over the listener", hand_over_listener},
    {"execute the program", execute, StepError::verbatim},
});

}  // namespace

Result<void> leave_the_agent(Child& child, std::vector<int> keep) {
  // Handlers did not come along (clone.h), what is ignored and the mask did.
  (void)reset_signals();
  TRY(set_stdio(child.stdio));
  keep.insert(keep.end(), {child.link.fd(), child.hook_state, child.stdio.listener.get()});
  close_all_but(std::move(keep));
  if (::setsid() < 0) return fail_errno(errno, "setsid");
  // Keys of one container are none of another's. A kernel without keys has none to share.
  (void)::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr);
  ::umask(0);
  return {};
}

Result<void> wait_for_agent(Child& child) {
  return child.link.wait_for_go();
}

Result<void> set_up_terminal(Child& child, int root_fd, bool console) {
  if (!child.stdio.terminal) return {};
  auto terminal = TRY(open_terminal(root_fd, child.process.console_size));
  if (console) TRY(bind_console(root_fd, terminal.slave.get()));
  TRY(take_terminal(terminal.slave.get()));
  return child.link.send_terminal(terminal.master.get());
}

Result<void> become_the_program(Child& child) {
  return run_steps<Child>(kSteps, child);
}

void end_child(const AgentLink& link, Result<void> outcome) {
  if (outcome) outcome = fail(ErrorKind::internal, "the new process had nothing to execute");
  link.fail_and_exit(outcome.error());
}

}  // namespace agentvm::guest
