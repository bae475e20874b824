// What users do at Docker with a container beyond running it, with a dockerd of the test's own:
// init, signals, attaching with its keys, streams, events, live figures.
#include "oci/base/json_reader.h"
#include "tests/e2e/harness/dockerd.h"

namespace agentvm::e2e {
namespace {

using testing::HasSubstr;

class DockerLife : public Docker {
 protected:
  // A command of Docker's with a terminal, which attach and its keys want.
  [[nodiscard]] std::unique_ptr<Background> at_terminal(
      const std::vector<std::string>& arguments) const {
    std::string line;
    for (const std::string& word : client(arguments)) line += word + " ";
    CommandOptions options;
    options.null_input = false;
    return std::make_unique<Background>(
        std::vector<std::string>{"script", "--quiet", "--return", "--command", line, "/dev/null"},
        options);
  }
};

TEST_F(DockerLife, InitIsPidOneAndTheStopSignalIsTheContainersChoice) {
  EXPECT_EQ(docker_run({"--rm", "--init"}, "cat /proc/1/comm").out, "docker-init\n");
  // Orphans are reaped, signals forwarded.
  start_web("(sleep 0.1 &); trap 'exit 9' USR1; while true; do sleep 0.1; done",
            {"--init", "--stop-signal", "USR1"});
  EXPECT_TRUE(eventually([&] {
    const std::string all = docker({"exec", "web", "ps", "-o", "stat,args"}).out;
    return !all.empty() && all.find("Z ") == std::string::npos;
  }));
  EXPECT_EQ(docker({"stop", "--time", "30", "web"}).status, 0);
  EXPECT_EQ(inspect_web("{{.State.ExitCode}}"), "9");
}

TEST_F(DockerLife, AttachWithAndWithoutATerminal) {
  start_web(
      "echo ready; while read line; do echo \"got $line\"; test \"$line\" = end && exit 6; "
      "done",
      {"--interactive"});
  CommandOptions pipe;
  pipe.null_input = false;
  Background attached(client({"attach", "web"}), pipe);
  attached.write("one\n");
  EXPECT_TRUE(attached.wait_for_output("got one\n"));
  attached.write("end\n");
  EXPECT_EQ(attached.wait().status, 6);
  docker_out({"rm", "web"});

  start_web(
      "stty -echo; while read line; do echo \"got $line\"; test \"$line\" = end && exit 7; "
      "done",
      {"--interactive", "--tty"});
  const auto first = at_terminal({"attach", "web"});
  first->write("one\n");
  EXPECT_TRUE(first->wait_for_output("got one\r\n"));
  first->write("\x10\x11");  // Docker's own keys: Ctrl-P, Ctrl-Q
  EXPECT_TRUE(first->wait_for_output("read escape sequence"));
  EXPECT_NE(first->wait().status, 7);
  const auto second = at_terminal({"attach", "--detach-keys", "ctrl-x,x", "web"});
  second->write("two\n");
  EXPECT_TRUE(second->wait_for_output("got two\r\n"));
  second->write("\x18x");
  EXPECT_TRUE(second->wait_for_output("read escape sequence"));
  (void)second->wait();
  const auto third = at_terminal({"attach", "web"});
  third->write("end\n");
  EXPECT_EQ(third->wait().status, 7);
}

TEST_F(DockerLife, LogsAreFollowedToTheEndAndExecHasStandardInput) {
  start_web(
      "for i in 1 2 3; do echo $i; done; until test -e /go; do sleep 0.1; done; echo last; "
      "exit 2");
  Background following(client({"logs", "--follow", "web"}));
  EXPECT_TRUE(following.wait_for_output("3\n"));
  const Outcome refused = docker({"rm", "web"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("You cannot remove a running container"));
  CommandOptions typed;
  typed.input = "through a pipe\n";
  EXPECT_EQ(docker({"exec", "--interactive", "web", "cat"}, typed).out, "through a pipe\n");
  typed.input = std::string(3'000'000, 'x');
  EXPECT_EQ(docker({"exec", "--interactive", "web", "wc", "-c"}, typed).out, "3000000\n");
  EXPECT_EQ(docker({"exec", "web", "touch", "/go"}).status, 0);
  const Outcome followed = following.wait();
  EXPECT_EQ(followed.status, 0);
  EXPECT_EQ(followed.out, "1\n2\n3\nlast\n");
}

TEST_F(DockerLife, EventsComeInOrder) {
  start_web("exit 0");
  EXPECT_EQ(docker_out({"wait", "web"}), "0");
  docker_out({"start", "web"});
  EXPECT_EQ(docker_out({"wait", "web"}), "0");
  docker_out({"rm", "web"});
  EXPECT_EQ(docker_out({"events", "--since", "1", "--until=-1s", "--filter", "container=web",
                        "--filter", "type=container", "--format", "{{.Action}}"}),
            "create\nstart\ndie\nstart\ndie\ndestroy");
}

TEST_F(DockerLife, FiguresLiveWhileTheContainerWorks) {
  start_web("ping -c 3 -w 10 10.88.0.1 > /dev/null; while true; do :; done", {"--memory", "128m"});
  std::string last;
  EXPECT_TRUE(eventually(
      [&] {
        last = docker({"stats", "--no-stream", "--format",
                       "{{.CPUPerc}} {{.MemUsage}} {{.PIDs}} {{.NetIO}}", "web"})
                   .out;
        return !last.starts_with("0.00%") && last.find(" 0B / 0B") == std::string::npos;
      },
      std::chrono::seconds(60)))
      << last;
}

}  // namespace
}  // namespace agentvm::e2e
