// The shipped agent, driven over its sockets as the host drives it.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <termios.h>

#include "agent_harness.h"

namespace agentvm::guest {
namespace {

using testing::HasSubstr;

agent::v1::Stdio output_to(std::uint64_t id) {
  agent::v1::Stdio stdio;
  stdio.set_stdout_stream(id);
  return stdio;
}

TEST_F(AgentTest, NothingIsLegalBeforeConfigureAndThatOnlyWithoutContainers) {
  EXPECT_EQ(start("web").error().text(), "the guest is not configured yet");
  ASSERT_TRUE(configure().has_value());
  EXPECT_EQ(start("web").error().text(), "container does not exist");
  ASSERT_TRUE(configure().has_value()) << "a VM that waited is configured for its container";
  ASSERT_TRUE(create("web", spec({"/bin/busybox", "true"}), {}).has_value());
  EXPECT_EQ(configure().error().text(), "the guest has containers already");
  ASSERT_TRUE(erase("web").has_value());
  EXPECT_TRUE(configure().has_value());
}

TEST_F(AgentTest, RunsAProgramToItsStatusWithAllItsOutput) {
  ASSERT_TRUE(configure().has_value());
  const UniqueFd out = open_stream(11);
  const auto created = create(
      "web", spec({"/bin/sh", "-c", "echo started; busybox yes | busybox head -c 3000000; exit 7"}),
      output_to(11));
  ASSERT_TRUE(created.has_value()) << created.error().text();
  EXPECT_GT(created->pid(), 0u);
  const auto started = start("web");
  ASSERT_TRUE(started.has_value()) << started.error().text();
  EXPECT_EQ(read_to_end(out).size(), 3000008u);
  EXPECT_EQ(wait("web"), "exit 7");
  EXPECT_EQ(wait("web"), "exit 7") << "may be asked any number of times";
  EXPECT_EQ(signal("web", "", 15), "container not running");
  EXPECT_TRUE(erase("web").has_value());
  EXPECT_NE(::access((root_ + "/containers/web").c_str(), F_OK), 0);
  EXPECT_EQ(wait("web"), "container does not exist");
}

TEST_F(AgentTest, StdinReachesTheProgramAndEnds) {
  ASSERT_TRUE(configure().has_value());
  const UniqueFd in = open_stream(1);
  const UniqueFd out = open_stream(2);
  agent::v1::Stdio stdio = output_to(2);
  stdio.set_stdin_stream(1);
  ASSERT_TRUE(create("cat", spec({"/bin/busybox", "cat"}), stdio).has_value());
  ASSERT_TRUE(start("cat").has_value());
  ASSERT_TRUE(sys::write_all(in.get(), "through a pipe").has_value());
  ::shutdown(in.get(), SHUT_WR);
  EXPECT_EQ(read_to_end(out), "through a pipe");
  EXPECT_EQ(wait("cat"), "exit 0");
}

TEST_F(AgentTest, AMissingProgramIsTheUsersErrorAndLeavesNothing) {
  ASSERT_TRUE(configure().has_value());
  const auto created = create("web", spec({"/nope"}));
  ASSERT_FALSE(created.has_value());
  EXPECT_THAT(created.error().text(), HasSubstr("no such file or directory"));
  EXPECT_NE(::access((root_ + "/containers/web").c_str(), F_OK), 0);
  EXPECT_TRUE(create("web", spec({"/bin/sh"})).has_value()) << "the id is free again";
}

TEST_F(AgentTest, AWrongSpecNamesItsMember) {
  ASSERT_TRUE(configure().has_value());
  EXPECT_THAT(create("web", "{}").error().text(), HasSubstr("ociVersion"));
  EXPECT_THAT(create("../x", spec({"/bin/sh"})).error().text(),
              HasSubstr("invalid container id format"));
}

TEST_F(AgentTest, AStreamThatIsNotOpenFailsTheCreate) {
  ASSERT_TRUE(configure().has_value());
  EXPECT_EQ(create("web", spec({"/bin/sh"}), output_to(99)).error().text(),
            "stdout: no stream 99 is open");
}

TEST_F(AgentTest, ExecRunsBesideInitAndEndsAlone) {
  ASSERT_TRUE(configure().has_value());
  ASSERT_TRUE(create("web", spec({"/bin/busybox", "sleep", "1000"})).has_value());
  ASSERT_TRUE(start("web").has_value());
  const UniqueFd out = open_stream(5);
  const auto ran =
      exec(*agent_, "web", "e1", process({"/bin/sh", "-c", "echo hello; exit 3"}), output_to(5));
  ASSERT_TRUE(ran.has_value()) << ran.error().text();
  EXPECT_EQ(read_to_end(out), "hello\n");
  EXPECT_EQ(wait("web", "e1"), "exit 3");
  EXPECT_EQ(exec(*agent_, "web", "e1", process({"/bin/sh"})).error().text(),
            "exec id 'e1' is in use");
  EXPECT_EQ(signal("web", "e1", 9), "process already finished");
  EXPECT_EQ(signal("web", "e2", 9), "no such process");
  EXPECT_EQ(signal("web", "", 9), "sent");
  EXPECT_EQ(wait("web"), "signal 9");
}

TEST_F(AgentTest, AnExecThatLeavesAChildBehindEndsWithItsOutput) {
  ASSERT_TRUE(configure().has_value());
  ASSERT_TRUE(create("web", spec({"/bin/busybox", "sleep", "1000"})).has_value());
  ASSERT_TRUE(start("web").has_value());
  const UniqueFd out = open_stream(5);
  ASSERT_TRUE(exec(*agent_, "web", "e1",
                   process({"/bin/sh", "-c", "busybox sleep 1000 & echo last words"}), output_to(5))
                  .has_value());
  EXPECT_EQ(wait("web", "e1"), "exit 0");
  EXPECT_EQ(read_to_end(out), "last words\n");
}

TEST_F(AgentTest, AConnectionsEndKillsWhatItStarted) {
  ASSERT_TRUE(configure().has_value());
  ASSERT_TRUE(create("web", spec({"/bin/busybox", "sleep", "1000"})).has_value());
  ASSERT_TRUE(start("web").has_value());
  auto other = connect();
  const UniqueFd out = open_stream(5);
  ASSERT_TRUE(exec(*other, "web", "e1", process({"/bin/busybox", "sleep", "1000"}), output_to(5))
                  .has_value());
  other.reset();
  EXPECT_EQ(read_to_end(out), "");
  EXPECT_EQ(signal("web", "", 0), "sent") << "init belongs to another connection";
  // And init's owner: the whole container.
  agent_ = connect();
  EXPECT_EQ(wait("web"), "signal 9");
}

TEST_F(AgentTest, SignalAllReachesEveryProcess) {
  ASSERT_TRUE(configure().has_value());
  const UniqueFd out = open_stream(5);
  ASSERT_TRUE(create("web",
                     spec({"/bin/sh", "-c",
                           "trap 'echo init; exit 4' USR1; (trap 'echo child; exit' USR1; echo up; "
                           "while :; do busybox sleep 0.1; done) & while :; do busybox sleep 0.1; "
                           "done"}),
                     output_to(5))
                  .has_value());
  ASSERT_TRUE(start("web").has_value());
  char up[3];
  ASSERT_EQ(::recv(out.get(), up, 3, MSG_WAITALL), 3);
  EXPECT_EQ(signal("web", "", 10, true), "sent");
  EXPECT_EQ(wait("web"), "exit 4");
  EXPECT_THAT(read_to_end(out), HasSubstr("init"));
  EXPECT_EQ(signal("web", "", 65), "signal 65 does not exist");
}

TEST_F(AgentTest, ListsProcessesWithTheirPidsInTheContainer) {
  ASSERT_TRUE(configure().has_value());
  const auto created = create("web", spec({"/bin/busybox", "sleep", "1000"}));
  ASSERT_TRUE(created.has_value());
  ASSERT_TRUE(start("web").has_value());
  agent::v1::ListProcessesRequest request;
  request.set_container_id("web");
  const auto listed = call(agent_->list_processes(request, kCall));
  ASSERT_TRUE(listed.has_value()) << listed.error().text();
  ASSERT_EQ(listed->processes_size(), 1);
  EXPECT_EQ(listed->processes(0).pid(), created->pid());
  EXPECT_EQ(listed->processes(0).pid_in_container(), 1u);
  EXPECT_EQ(listed->processes(0).command(), "/bin/busybox sleep 1000");
}

TEST_F(AgentTest, PausedMeansNoExecUntilResumed) {
  ASSERT_TRUE(configure().has_value());
  ASSERT_TRUE(create("web", spec({"/bin/busybox", "sleep", "1000"})).has_value());
  agent::v1::PauseContainerRequest pause;
  pause.set_container_id("web");
  EXPECT_EQ(call(agent_->pause_container(pause, kCall)).error().text(),
            "container not running: created");
  ASSERT_TRUE(start("web").has_value());
  ASSERT_TRUE(call(agent_->pause_container(pause, kCall)).has_value());
  EXPECT_EQ(exec(*agent_, "web", "e", process({"/bin/sh"})).error().text(),
            "cannot exec in a paused container");
  agent::v1::ResumeContainerRequest resume;
  resume.set_container_id("web");
  ASSERT_TRUE(call(agent_->resume_container(resume, kCall)).has_value());
  EXPECT_EQ(call(agent_->resume_container(resume, kCall)).error().text(), "container not paused");
  EXPECT_TRUE(call(agent_->pause_container(pause, kCall)).has_value());
  EXPECT_TRUE(erase("web").has_value()) << "also while frozen";
}

TEST_F(AgentTest, ATerminalTalksBothWaysAndHasASize) {
  ASSERT_TRUE(configure().has_value());
  const UniqueFd terminal = open_stream(8);
  agent::v1::Stdio stdio;
  stdio.set_terminal_stream(8);
  const auto created =
      create("tty",
             spec({"/bin/sh", "-c", "read line; echo got $line; busybox stty size"},
                  R"("terminal": true, "consoleSize": {"height": 24, "width": 80},)"),
             stdio);
  ASSERT_TRUE(created.has_value()) << created.error().text();
  agent::v1::ResizeTerminalRequest resize;
  resize.set_container_id("tty");
  resize.set_rows(33);
  resize.set_columns(99);
  ASSERT_TRUE(call(agent_->resize_terminal(resize, kCall)).has_value());
  ASSERT_TRUE(start("tty").has_value());
  ASSERT_TRUE(sys::write_all(terminal.get(), "words\n").has_value());
  EXPECT_EQ(read_to_end(terminal), "words\r\ngot words\r\n33 99\r\n");
  EXPECT_EQ(wait("tty"), "exit 0");
}

TEST_F(AgentTest, NothingOfTheAgentsRootIsReachable) {
  ASSERT_TRUE(configure().has_value());
  const UniqueFd out = open_stream(5);
  ASSERT_TRUE(
      create("web", spec({"/bin/sh", "-c", "cd /..; echo *; busybox wc -l < /proc/self/mountinfo"}),
             output_to(5))
          .has_value());
  ASSERT_TRUE(start("web").has_value());
  EXPECT_EQ(read_to_end(out), "bin dev proc tmp\n4\n");
}

TEST_F(AgentTest, ShutdownEndsTheAgentAndItsContainers) {
  ASSERT_TRUE(configure().has_value());
  ASSERT_TRUE(create("web", spec({"/bin/busybox", "sleep", "1000"})).has_value());
  ASSERT_TRUE(start("web").has_value());
  (void)call(agent_->shutdown({}, kCall));
  int status = -1;
  ASSERT_EQ(::waitpid(agent_pid_, &status, 0), agent_pid_);
  agent_pid_ = -1;
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace agentvm::guest
