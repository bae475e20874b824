// containerd-shim-agentvm-v2: what becomes of tasks when containerd, the shim or the VM dies.

#include <csignal>
#include <filesystem>

#include "tests/e2e/harness/debian13.h"
#include "tests/e2e/harness/shim.h"

namespace agentvm::e2e {
namespace {

using testing::SizeIs;

class ShimFaults : public Shim {};

TEST_F(ShimFaults, SurvivesContainerdAndIsFoundAgain) {
  run_detached("web", kUntilTerm);
  run_detached("brief", "while [ ! -e /go ]; do sleep 0.05; done; exit 6");
  ASSERT_EQ(exec("web", {"/bin/true"}).status, 0);
  const std::string rootfs = bundle_of("brief") + "/rootfs";
  const pid_t pid = task_pid("web");
  kill_containerd(SIGKILL);
  // This one ends while nobody listens.
  write_file(rootfs + "/go", "");
  const pid_t brief = std::atoi(read_file(bundle_of("brief") + "/shim.pid").c_str());
  EXPECT_FALSE(is_gone(brief));
  start_containerd();
  EXPECT_EQ(task_status("web"), "RUNNING");
  EXPECT_EQ(task_pid("web"), pid);
  EXPECT_EQ(exec("web", {"/bin/echo", "again"}).out, "again\n");
  wait_for_task("brief", "STOPPED");
  EXPECT_EQ(delete_task("brief"), 6);
  EXPECT_EQ(ctr({"task", "kill", "--signal", "TERM", "web"}).status, 0);
  wait_for_task("web", "STOPPED");
  EXPECT_EQ(delete_task("web"), 9);
}

TEST_F(ShimFaults, TheExitIsToldToAContainerdThatWasAway) {
  run_detached("web", kUntilTerm);
  ASSERT_EQ(exec("web", {"/bin/true"}).status, 0);
  const pid_t pid = task_pid("web");
  kill_containerd(SIGKILL);
  ASSERT_EQ(::kill(pid, SIGTERM), 0);  // the stand-in passes it on
  EXPECT_TRUE(eventually([&] { return is_gone(pid); }));
  start_containerd();
  EXPECT_EQ(task_status("web"), "STOPPED");
  EXPECT_EQ(delete_task("web"), 9);
}

TEST_F(ShimFaults, AVmThatDiesEndsEverythingThatWaitsForIt) {
  run_detached("web", "sleep 1000");
  Background waiting(ctr_command({"task", "exec", "--fifo-dir", scratch() + "/fifo", "--exec-id",
                                  "waits", "web", "/bin/sh", "-c", "echo up; sleep 1000"}));
  ASSERT_TRUE(waiting.wait_for_output("up"));
  const auto qemu = parts_of("web", "qemu-system");
  ASSERT_THAT(qemu, SizeIs(1));
  const auto killed = std::chrono::steady_clock::now();
  ASSERT_EQ(::kill(qemu[0], SIGKILL), 0);
  EXPECT_EQ(waiting.wait(std::chrono::seconds(20)).status, 137);
  wait_for_task("web", "STOPPED");
  EXPECT_LT(std::chrono::steady_clock::now() - killed, std::chrono::seconds(5));
  EXPECT_EQ(delete_task("web"), 137);
}

TEST_F(ShimFaults, AShimThatIsKilledLeavesNothing) {
  run_detached("web", "sleep 1000");
  const pid_t stand_in = task_pid("web");
  ASSERT_EQ(::kill(shim_pid("web"), SIGKILL), 0);
  wait_for_task("web", "");
  EXPECT_TRUE(eventually([&] { return is_gone(stand_in); }));
  EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(bundle_of("web")); }));
  // And the name is free again.
  ASSERT_EQ(ctr({"container", "rm", "web"}).status, 0);
  EXPECT_EQ(ctr_run({"--rm"}, "web", {"/bin/true"}).status, 0);
}

TEST_F(ShimFaults, AShimThatIsKilledWhileContainerdIsAwayLeavesNothing) {
  run_detached("web", "sleep 1000");
  const pid_t stand_in = task_pid("web");
  const pid_t shim = shim_pid("web");
  kill_containerd(SIGKILL);
  ASSERT_EQ(::kill(shim, SIGKILL), 0);
  start_containerd();
  EXPECT_EQ(task_status("web"), "");
  EXPECT_TRUE(eventually([&] { return is_gone(stand_in); }));
}

// containerd 1.7, which is answered in JSON.
class ShimOfDebian13 : public Shim {
 protected:
  void SetUp() override {
    containerd_program = fetch_debian13("/usr/bin/containerd", "containerd");
    Shim::SetUp();
  }
};

TEST_F(ShimOfDebian13, RunsExecutesAndDeletes) {
  EXPECT_EQ(ctr_run({"--rm"}, "brief", Bundle::shell("exit 7")).status, 7);
  run_detached("web", kUntilTerm);
  EXPECT_EQ(exec("web", {"/bin/echo", "out"}).out, "out\n");
  EXPECT_EQ(ctr({"task", "kill", "--signal", "TERM", "web"}).status, 0);
  wait_for_task("web", "STOPPED");
  EXPECT_EQ(delete_task("web"), 9);
}

TEST_F(ShimOfDebian13, SurvivesContainerdAndADeadShimLeavesNothing) {
  run_detached("web", "sleep 1000");
  run_detached("brief", kUntilTerm);
  ASSERT_EQ(exec("brief", {"/bin/true"}).status, 0);
  const pid_t stand_in = task_pid("web");
  const pid_t brief = task_pid("brief");
  kill_containerd(SIGKILL);
  ASSERT_EQ(::kill(brief, SIGTERM), 0);
  EXPECT_TRUE(eventually([&] { return is_gone(brief); }));
  start_containerd();
  EXPECT_EQ(task_status("brief"), "STOPPED");
  EXPECT_EQ(delete_task("brief"), 9);
  EXPECT_EQ(task_status("web"), "RUNNING");
  EXPECT_EQ(exec("web", {"/bin/true"}).status, 0);
  ASSERT_EQ(::kill(shim_pid("web"), SIGKILL), 0);
  wait_for_task("web", "");
  EXPECT_TRUE(eventually([&] { return is_gone(stand_in); }));
}

}  // namespace
}  // namespace agentvm::e2e
