#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "oci/spec_writer.h"
#include "tests/e2e/harness/container.h"

namespace agentvm::e2e {
namespace {

using testing::HasSubstr;

class Exec : public Agentvm {
 protected:
  void SetUp() override {
    Agentvm::SetUp();
    bundle_ = std::make_unique<Bundle>(std::vector<std::string>{"/bin/sleep", "1000"});
    create("web", *bundle_);
    start("web");
  }

 private:
  std::unique_ptr<Bundle> bundle_;
};

TEST_F(Exec, RunsInTheContainerWithItsStreamsAndExitCode) {
  CommandOptions options;
  options.input = "from the host\n";
  const Outcome outcome =
      agentvm({"exec", "web", "sh", "-c", "cat; hostname; cat /proc/1/cmdline; echo e >&2; exit 5"},
              options);
  EXPECT_EQ(outcome.status, 5);
  EXPECT_EQ(outcome.out, std::string("from the host\nguest\n/bin/sleep\0"
                                     "1000\0",
                                     36));
  EXPECT_EQ(outcome.err, "e\n");
}

TEST_F(Exec, FlagsChangeTheProcess) {
  const Outcome outcome =
      agentvm({"exec", "--cwd", "/tmp", "--env", "A=1", "--user", "1000:1000",
               "--additional-gids", "7,8", "-g", "9", "-e", "B=2", "web", "sh", "-c", "pwd; echo $A$B; id -u; id -G"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "/tmp\n12\n1000\n1000 7 8 9\n");
}

TEST_F(Exec, OptionsAfterTheIdBelongToTheProgram) {
  EXPECT_EQ(agentvm({"exec", "web", "echo", "-n", "--tty", "-e"}).out, "--tty -e");
}

TEST_F(Exec, TakesAProcessDocument) {
  oci::Process process;
  process.args = {"sh", "-c", "echo $NAME; pwd; exit 9"};
  process.env = {"NAME=value", "PATH=/bin"};
  process.cwd = "/etc";
  process.apparmor_profile = "docker-default";  // as Docker sends; the guest has none
  write_file(scratch() + "/process.json", oci::write_process(process));
  const Outcome outcome = agentvm({"exec", "--process", scratch() + "/process.json", "web"});
  EXPECT_EQ(outcome.status, 9) << outcome.err;
  EXPECT_EQ(outcome.out, "value\n/etc\n");
  EXPECT_THAT(outcome.err, HasSubstr("AppArmor profile 'docker-default' has no effect"));
}

TEST_F(Exec, DeathBySignalIsReported) {
  EXPECT_EQ(agentvm({"exec", "web", "sh", "-c", "kill -9 $$"}).status, 137);
  EXPECT_EQ(agentvm({"exec", "web", "sh", "-c", "kill -TERM $$"}).status, 143);
}

TEST_F(Exec, AMissingProgramIsNamedInRuncsWords) {
  const Outcome missing = agentvm({"exec", "web", "/nope"});
  EXPECT_EQ(missing.status, 255);
  EXPECT_THAT(missing.err, HasSubstr("exec: \\\"/nope\\\": stat /nope: no such file or directory"));
  EXPECT_THAT(agentvm({"exec", "web", "nope"}).err,
              HasSubstr("exec: \\\"nope\\\": executable file not found in $PATH"));
  EXPECT_THAT(agentvm({"exec", "web", "/etc/passwd"}).err, HasSubstr("permission denied"));
}

TEST_F(Exec, SignalsOfTheStandInReachTheProcess) {
  Background program(command(
      {"exec", "web", "sh", "-c", "trap 'exit 33' TERM; echo ready; while :; do sleep 0.1; done"}));
  ASSERT_TRUE(program.wait_for_output("ready"));
  program.send(SIGTERM);
  EXPECT_EQ(program.wait().status, 33);
}

TEST_F(Exec, TheProcessDiesWithItsStandIn) {
  {
    Background program(command({"exec", "web", "sh", "-c", "echo ready; exec sleep 4321"}));
    ASSERT_TRUE(program.wait_for_output("ready"));
    EXPECT_THAT(agentvm({"ps", "web"}).out, HasSubstr("sleep 4321"));
    program.send(SIGKILL);
    EXPECT_EQ(program.wait().status, 137);
  }
  EXPECT_TRUE(eventually(
      [&] { return agentvm({"ps", "web"}).out.find("sleep 4321") == std::string::npos; }));
}

TEST_F(Exec, ADetachedExecLeavesAStandInThatEndsAsTheProcess) {
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  const std::string pid_file = scratch() + "/exec.pid";
  ASSERT_EQ(agentvm({"exec", "--detach", "--pid-file", pid_file, "web", "sh", "-c",
                     "while [ ! -e /go ]; do sleep 0.05; done; exit 11"})
                .status,
            0);
  const pid_t pid = std::stoi(read_file(pid_file));
  EXPECT_EQ(::kill(pid, 0), 0);
  EXPECT_THAT(agentvm({"ps", "--format", "json", "web"}).out, HasSubstr(std::to_string(pid)));
  ASSERT_EQ(agentvm({"exec", "web", "touch", "/go"}).status, 0);
  int wait_status = 0;
  ASSERT_EQ(::waitpid(pid, &wait_status, 0), pid);
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
  EXPECT_TRUE(WIFEXITED(wait_status));
  EXPECT_EQ(WEXITSTATUS(wait_status), 11);
}

TEST_F(Exec, ABackgroundChildDoesNotHoldTheExecBack) {
  CommandOptions options;
  options.timeout = std::chrono::seconds(30);
  const Outcome outcome = agentvm({"exec", "web", "sh", "-c", "sleep 900 & echo started"}, options);
  EXPECT_FALSE(outcome.timed_out);
  EXPECT_EQ(outcome.out, "started\n");
}

TEST_F(Exec, ManyAtOnceEachGetTheirOwnOutput) {
  std::vector<std::unique_ptr<Background>> programs;
  for (int i = 0; i < 8; ++i) {
    programs.push_back(std::make_unique<Background>(
        command({"exec", "web", "sh", "-c",
                 "echo number " + std::to_string(i) + "; exit " + std::to_string(i)})));
  }
  for (int i = 0; i < 8; ++i) {
    const Outcome outcome = programs[static_cast<std::size_t>(i)]->wait();
    EXPECT_EQ(outcome.status, i) << outcome.err;
    EXPECT_EQ(outcome.out, "number " + std::to_string(i) + "\n");
  }
}

TEST_F(Exec, WhatAVmCannotDoIsRefusedWithAReason) {
  EXPECT_THAT(agentvm({"exec", "--preserve-fds", "2", "web", "true"}).err,
              HasSubstr("file descriptors of the host cannot be passed into a microVM"));
  EXPECT_THAT(agentvm({"exec", "web"}).err, HasSubstr("process args cannot be empty"));
}

}  // namespace
}  // namespace agentvm::e2e
