// Processes that join a container.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest-agent/launch_container.h"

namespace agentvm::guest {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

TEST(LaunchExec, JoinsTheContainersNamespacesRootAndCgroup) {
  LaunchContainer container;
  container.start();
  const Ran ran = container.exec(container.shell(
      "for n in pid mnt ipc uts cgroup net time user; do"
      " [ $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) ] || echo other $n; done;"
      "hostname; ls /bin/busybox; grep '^0:' /proc/self/cgroup; awk '{print $4}' /proc/self/stat"));
  EXPECT_EQ(ran.error(), "");
  EXPECT_THAT(ran.out, MatchesRegex("box\n/bin/busybox\n0::/\n[0-9]+\n"));
}

TEST(LaunchExec, IsAChildOfTheAgent) {
  LaunchContainer container;
  container.start();
  // 0: the parent is outside of the pid namespace.
  const Ran ran =
      container.exec(container.shell("awk '/^PPid/ {print $2}' /proc/$$/status; exit 5"));
  EXPECT_EQ(ran.out, "0\n");
  EXPECT_EQ(ran.exit_code(), 5);
}

TEST(LaunchExec, HasItsOwnUserAndLimits) {
  // To set the limits of a process that belongs to another user, even lower ones.
  if (::prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE, 0, 0, 0) != 1) {
    GTEST_SKIP() << "this host's root lacks CAP_SYS_RESOURCE";
  }
  LaunchContainer container;
  container.start();
  oci::Process process = container.shell(
      "id -u; id -G; umask; ulimit -n; grep -E '^(CapEff|NoNewPrivs)' /proc/self/status; pwd");
  process.user = {1000, 1000, 0077, {9}};
  process.rlimits = {{"RLIMIT_NOFILE", 64, 64}};
  process.no_new_privileges = true;
  process.cwd = "/tmp";
  const Ran ran = container.exec(process);
  EXPECT_EQ(ran.error(), "");
  EXPECT_EQ(ran.out, "1000\n1000 9\n0077\n64\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n/tmp\n");
}

TEST(LaunchExec, TakesTheContainersCapabilitiesWhenItNamesNone) {
  LaunchContainer container;
  container.spec.process->capabilities =
      oci::Capabilities{{"CAP_CHOWN"}, {"CAP_CHOWN"}, {}, {"CAP_CHOWN"}, {}};
  container.start();
  oci::Process process = container.shell("grep -E '^Cap(Eff|Bnd)' /proc/self/status");
  process.capabilities.reset();
  EXPECT_EQ(container.exec(process).out, "CapEff:\t0000000000000001\nCapBnd:\t0000000000000001\n");
}

TEST(LaunchExec, HasATerminalOfTheContainers) {
  LaunchContainer container;
  container.start();
  oci::Process process = container.shell("tty; stty size");
  process.terminal = true;
  process.console_size = oci::ConsoleSize{20, 70};
  EXPECT_EQ(container.exec(process).out, "/dev/pts/0\r\n20 70\r\n");
}

TEST(LaunchExec, SaysInRuncsWordsWhatItCannotDo) {
  LaunchContainer container;
  container.write("/file", "x");
  container.start();
  oci::Process process = container.shell("true");
  process.args = {"nope"};
  EXPECT_EQ(container.exec(process).error(), "exec: \"nope\": executable file not found in $PATH");
  process.args = {"true"};
  process.cwd = "/file";
  EXPECT_EQ(container.exec(process).error(),
            "chdir to cwd (\"/file\") set in config.json failed: not a directory");
  process.cwd = "/nope";
  EXPECT_EQ(container.exec(process).error(),
            "chdir to cwd (\"/nope\") set in config.json failed: no such file or directory");
}

TEST(LaunchExec, IsUnderTheContainersSeccompProfile) {
  LaunchContainer container;
  container.spec.linux_->seccomp = oci::Seccomp{"SCMP_ACT_ALLOW",
                                                {},
                                                {"SCMP_ARCH_X86_64"},
                                                {},
                                                {},
                                                {},
                                                {{{"mkdir", "mkdirat"}, "SCMP_ACT_ERRNO", {}, {}}}};
  container.start();
  EXPECT_EQ(container.exec(container.shell("mkdir /tmp/x; grep Seccomp: /proc/self/status")).out,
            "mkdir: can't create directory '/tmp/x': Operation not permitted\nSeccomp:\t2\n");
}

TEST(LaunchExec, JoinsAUserNamespace) {
  LaunchContainer container;
  container.use_user_namespace();
  container.start();
  oci::Process process = container.shell("id -u; grep -E '^CapEff' /proc/self/status; tty");
  process.terminal = true;
  const Ran ran = container.exec(process);
  EXPECT_EQ(ran.error(), "");
  EXPECT_EQ(ran.out, "0\r\nCapEff:\t00000000a80425fb\r\n/dev/pts/0\r\n");
}

TEST(LaunchExec, JoinsATimeNamespace) {
  LaunchContainer container;
  container.add_namespace(oci::NamespaceType::time);
  container.spec.linux_->time_offsets = {{"boottime", {1000000, 0}}};
  container.start();
  EXPECT_EQ(container.exec(container.shell("awk '{print ($1 > 1000000)}' /proc/uptime")).out,
            "1\n");
}

TEST(LaunchExec, RunsOnTheCpusOfItsAffinity) {
  LaunchContainer container;
  container.start();
  oci::Process process = container.shell("grep Cpus_allowed_list /proc/self/status");
  process.exec_cpu_affinity = oci::ExecCpuAffinity{"0", "0"};
  EXPECT_EQ(container.exec(process).out, "Cpus_allowed_list:\t0\n");
}

TEST(LaunchExec, FailsWhenTheContainerHasEnded) {
  LaunchContainer container;
  container.start();
  ASSERT_EQ(::kill(container.init_pid(), SIGKILL), 0);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(container.init_pid()), &info, WEXITED | WNOWAIT), 0);
  const Ran ran = container.exec(container.shell("true"));
  EXPECT_THAT(ran.error(), HasSubstr("container not running"));
}

TEST(LaunchExec, LeavesTheAgentInItsOwnPidNamespace) {
  LaunchContainer container;
  container.start();
  (void)container.exec(container.shell("true"));
  char children[64] = {};
  char own[64] = {};
  ASSERT_GT(::readlink("/proc/self/ns/pid_for_children", children, sizeof children - 1), 0);
  ASSERT_GT(::readlink("/proc/self/ns/pid", own, sizeof own - 1), 0);
  EXPECT_STREQ(children, own);
}

}  // namespace
}  // namespace agentvm::guest
