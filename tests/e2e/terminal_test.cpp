#include "tests/e2e/harness/terminal.h"

#include <csignal>

#include "tests/e2e/harness/container.h"

namespace agentvm::e2e {
namespace {

using testing::HasSubstr;

class Terminal : public Agentvm {};

TEST_F(Terminal, TheConsoleSocketGetsAMasterThatTheContainerTalksTo) {
  Bundle bundle(Bundle::shell("tty; stty size; read line; echo got $line; stty size; sleep 1000"));
  bundle.spec.process->terminal = true;
  bundle.spec.process->console_size = oci::ConsoleSize{31, 97};
  bundle.store();
  ConsoleSocket console(scratch() + "/console.sock");
  const Outcome created = agentvm({"create", "--bundle", bundle.path(), "--console-socket",
                                   scratch() + "/console.sock", "web"});
  ASSERT_EQ(created.status, 0) << created.err;
  ASSERT_TRUE(console.receive_master());
  start("web");
  EXPECT_TRUE(console.wait_for("/dev/pts/0")) << console.seen();
  EXPECT_TRUE(console.wait_for("31 97")) << console.seen();
  console.resize(50, 120);
  // The size travels on its own way: the guest has it at the latest when exec sees it.
  EXPECT_TRUE(eventually([&] {
    return agentvm({"exec", "web", "sh", "-c", "stty size < /dev/pts/0"}).out == "50 120\n";
  }));
  console.write("hello\n");
  EXPECT_TRUE(console.wait_for("got hello")) << console.seen();
  EXPECT_TRUE(console.wait_for("50 120")) << console.seen();
  // The guest's terminal echoes once; the host's is raw.
  EXPECT_EQ(console.seen().find("hello", console.seen().find("hello") + 1),
            console.seen().find("got hello") + 4);
}

TEST_F(Terminal, ControlCInterruptsTheForegroundProcess) {
  Bundle bundle(
      Bundle::shell("trap 'echo interrupted; exit 4' INT; echo ready; "
                    "while :; do sleep 0.1; done"));
  bundle.spec.process->terminal = true;
  bundle.store();
  ConsoleSocket console(scratch() + "/console.sock");
  ASSERT_EQ(agentvm({"create", "--bundle", bundle.path(), "--console-socket",
                     scratch() + "/console.sock", "web"})
                .status,
            0);
  ASSERT_TRUE(console.receive_master());
  start("web");
  ASSERT_TRUE(console.wait_for("ready"));
  console.write("\x03");
  EXPECT_TRUE(console.wait_for("interrupted")) << console.seen();
  wait_for_status("web", "stopped");
}

TEST_F(Terminal, ExecOnATerminalHasItsOwn) {
  const Bundle bundle({"/bin/sleep", "1000"});
  create("web", bundle);
  start("web");
  ConsoleSocket console(scratch() + "/exec.sock");
  write_file(scratch() + "/process.json",
             R"({"terminal":true,"args":["sh","-c","tty; read line; echo got $line"],)"
             R"("env":["PATH=/bin"],"cwd":"/","user":{"uid":0,"gid":0}})");
  const Outcome started =
      agentvm({"exec", "--process", scratch() + "/process.json", "--console-socket",
               scratch() + "/exec.sock", "--detach", "--pid-file", scratch() + "/exec.pid", "web"});
  ASSERT_EQ(started.status, 0) << started.err;
  ASSERT_TRUE(console.receive_master());
  EXPECT_TRUE(console.wait_for("/dev/pts/")) << console.seen();
  console.write("input\n");
  EXPECT_TRUE(console.wait_for("got input")) << console.seen();
}

// util-linux's `script` plays the user's terminal.
TEST_F(Terminal, RunInTheForegroundUsesTheCallersTerminal) {
  Bundle bundle(Bundle::shell("tty; echo size $(stty size); exit 6"));
  bundle.spec.process->terminal = true;
  bundle.store();
  std::string line = "stty rows 33 cols 88; ";
  for (const std::string& word : command({"run", "--bundle", bundle.path(), "web"})) {
    line += word + " ";
  }
  const Outcome outcome =
      run_command({"script", "--quiet", "--return", "--command", line, "/dev/null"});
  EXPECT_EQ(outcome.status, 6) << outcome.out;
  EXPECT_THAT(outcome.out, HasSubstr("/dev/pts/0"));
  EXPECT_THAT(outcome.out, HasSubstr("size 33 88"));
}

TEST_F(Terminal, ATerminalWithoutAConsoleSocketIsRefused) {
  Bundle bundle({"/bin/sh"});
  bundle.spec.process->terminal = true;
  bundle.store();
  EXPECT_THAT(agentvm({"create", "--bundle", bundle.path(), "web"}).err,
              HasSubstr("cannot allocate tty if runc will detach without setting console socket"));
  bundle.spec.process->terminal = false;
  bundle.store();
  EXPECT_THAT(agentvm({"create", "--bundle", bundle.path(), "--console-socket", "/x", "web"}).err,
              HasSubstr("cannot use console socket if runc will not detach or allocate tty"));
}

}  // namespace
}  // namespace agentvm::e2e
