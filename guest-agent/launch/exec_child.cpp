#include "guest-agent/launch/exec_child.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/prctl.h>

#include <array>
#include <cerrno>

#include "guest-agent/launch/identity.h"
#include "guest-agent/launch/namespaces.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

Result<void> leave(ExecChild& child) {
  return leave_the_agent(child, {child.init_pidfd});
}

Result<void> wait_for_settings(ExecChild& child) {
  return wait_for_agent(child);
}

Result<void> join(ExecChild& child) {
  TRY(join_namespaces(child.init_pidfd, child.namespaces));
  if ((child.namespaces & CLONE_NEWUSER) == 0) return {};
  TRY(become_root());
  // Closed to the container's processes since before it was born; the change of ids must not open
  // it, whatever the container has made of fs.suid_dumpable.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_errno(errno, "prctl");
  return {};
}

Result<void> terminal(ExecChild& child) {
  auto root = TRY(sys::open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
  return set_up_terminal(child, root.get(), false);
}

Result<void> program(ExecChild& child) {
  return become_the_program(child);
}

constexpr std::array kSteps = std::to_array<Step<ExecChild>>({
    {"leave the agent", leave},
    {"wait for the agent", wait_for_settings},
    {"join the container", join},
    {"open the terminal", terminal},
    {"become the program", program, StepError::verbatim},
});

}  // namespace

Result<void> run_exec(ExecChild& child) {
  return run_steps<ExecChild>(kSteps, child);
}

}  // namespace agentvm::guest
