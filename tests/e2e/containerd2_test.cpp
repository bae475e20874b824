// The shim under containerd 2, of Debian's unstable suite: other bootstrap parameters, another way
// to import, the same tasks.
#include <csignal>

#include "tests/e2e/harness/debian13.h"
#include "tests/e2e/harness/shim.h"

namespace agentvm::e2e {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class ContainerdTwo : public Shim {
 protected:
  void SetUp() override {
    containerd_program = fetch_debian13("/usr/bin/containerd", "containerd", "sid");
    ctr_program = fetch_debian13("/usr/bin/ctr", "containerd", "sid");
    EXPECT_THAT(run_command({containerd_program, "--version"}).out, HasSubstr(" 2."));
    Shim::SetUp();
  }
};

TEST_F(ContainerdTwo, RunsExecsPausesMeasuresAndKills) {
  const Outcome outcome =
      ctr_run({"--rm"}, "once", Bundle::shell("uname -r; echo oops >&2; exit 7"));
  EXPECT_EQ(outcome.status, 7) << outcome.err;
  EXPECT_EQ(outcome.out, guest_kernel_release());
  EXPECT_EQ(outcome.err, "oops\n");

  run_detached("web", kUntilTerm);
  const Outcome executed = exec("web", Bundle::shell("echo out; echo err >&2; exit 3"));
  EXPECT_EQ(executed.status, 3);
  EXPECT_EQ(executed.out, "out\n");
  EXPECT_EQ(executed.err, "err\n");
  EXPECT_THAT(ctr({"task", "metrics", "web"}).out, HasSubstr("memory.usage"));
  EXPECT_EQ(ctr({"task", "pause", "web"}).status, 0);
  EXPECT_EQ(task_status("web"), "PAUSED");
  EXPECT_EQ(ctr({"task", "resume", "web"}).status, 0);
  EXPECT_EQ(task_status("web"), "RUNNING");
  EXPECT_EQ(ctr({"task", "kill", "--signal", "TERM", "web"}).status, 0);
  wait_for_task("web", "STOPPED");
  EXPECT_EQ(delete_task("web"), 9);
}

TEST_F(ContainerdTwo, FindsItsTasksAgainAfterItWasKilled) {
  run_detached("web", kUntilTerm);
  const pid_t pid = task_pid("web");
  ASSERT_NE(pid, kNobody);
  kill_containerd(SIGKILL);
  start_containerd();
  EXPECT_EQ(task_status("web"), "RUNNING");
  EXPECT_EQ(task_pid("web"), pid);
  EXPECT_EQ(exec("web", Bundle::shell("exit 4")).status, 4);
  kill_containerd(SIGKILL);
  ::kill(pid, SIGKILL);
  start_containerd();
  wait_for_task("web", "STOPPED");
  EXPECT_EQ(delete_task("web"), 137);
  ASSERT_EQ(ctr({"container", "rm", "web"}).status, 0);
  EXPECT_THAT(ctr({"task", "ls", "-q"}).out, IsEmpty());
}

}  // namespace
}  // namespace agentvm::e2e
