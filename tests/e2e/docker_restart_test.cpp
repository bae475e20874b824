// A dockerd that is killed while containers run, and one whose runtime is killed while it makes a
// container: what becomes of the containers, and what stays on the host.
#include <csignal>
#include <filesystem>
#include <functional>

#include "tests/e2e/harness/dockerd.h"

namespace agentvm::e2e {
namespace {

using testing::HasSubstr;

class DockerRestart : public Docker {
 protected:
  // The process that containerd's shim knows as the container.
  [[nodiscard]] pid_t stand_in_of(const std::string& container) const {
    return std::stoi(docker_out({"inspect", "--format", "{{.State.Pid}}", container}));
  }
  [[nodiscard]] std::string state_of(const std::string& container) const {
    return docker_out({"inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", container});
  }
};

// As with runc: what ran is ended by the next daemon, whose users see 137.
TEST_F(DockerRestart, WhatRanWhenTheDaemonWasKilledIsEndedByTheNextOne) {
  ASSERT_EQ(docker_run({"--detach", "--name", "web"}, "sleep 1000").status, 0);
  const pid_t stand_in = stand_in_of("web");
  crash_dockerd();
  EXPECT_FALSE(is_gone(stand_in));
  start_dockerd();
  EXPECT_TRUE(eventually([&] { return state_of("web") == "exited 137"; })) << state_of("web");
  EXPECT_TRUE(eventually([&] { return is_gone(stand_in); }));
  EXPECT_EQ(docker({"start", "web"}).status, 0);
  EXPECT_EQ(docker({"exec", "web", "true"}).status, 0);
}

class DockerLiveRestore : public DockerRestart {
 protected:
  DockerLiveRestore() { daemon_options = {"--live-restore"}; }
};

TEST_F(DockerLiveRestore, ContainersGoOnWithoutTheDaemonAndEndWithTheirOwnStatus) {
  ASSERT_EQ(docker_run({"--detach", "--name", "web", "--publish", "8080:80"},
                       "trap 'echo bye; exit 3' TERM; echo up; echo page > /index.html; "
                       "httpd -p 80 -h /; while true; do sleep 0.1; done")
                .status,
            0);
  const std::string told = scratch() + "/told";
  std::filesystem::create_directory(told);
  ASSERT_EQ(docker_run({"--detach", "--name", "brief", "--volume", told + ":/told"},
                       "until test -e /told/go; do sleep 0.1; done; exit 4")
                .status,
            0);
  const pid_t web = stand_in_of("web");
  const pid_t brief = stand_in_of("brief");
  crash_dockerd();
  write_file(told + "/go", "");
  EXPECT_TRUE(eventually([&] { return is_gone(brief); }));
  EXPECT_FALSE(is_gone(web));
  start_dockerd();
  EXPECT_TRUE(eventually([&] { return state_of("brief") == "exited 4"; })) << state_of("brief");
  EXPECT_EQ(state_of("web"), "running 0");
  EXPECT_EQ(stand_in_of("web"), web);
  EXPECT_EQ(docker({"exec", "web", "echo", "here"}).out, "here\n");
  const Outcome page = network_->run_outside(
      {"sh", "-c", "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | socat -t 5 - TCP:10.88.0.2:8080"});
  EXPECT_THAT(page.out, HasSubstr("page\n")) << page.err;
  EXPECT_EQ(docker({"stop", "--time", "20", "web"}).status, 0);
  EXPECT_EQ(state_of("web"), "exited 3");
  EXPECT_EQ(docker({"logs", "web"}).out, "up\nbye\n");
}

// The runtime itself killed, and its container removed, at moments of a create.
class DockerMidCreate : public Docker {
 protected:
  // A process of this test's daemon with such a beginning and such a word of its command line; -1
  // while there is none.
  [[nodiscard]] pid_t find_process(const std::string& start, const std::string& word) const {
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const std::string words = read_file(entry.path().string() + "/cmdline");
      if (words.starts_with(start) && words.find(scratch()) != std::string::npos &&
          words.find('\0' + word + '\0') != std::string::npos) {
        return std::stoi(entry.path().filename().string());
      }
    }
    return -1;
  }
  [[nodiscard]] pid_t creator() const { return find_process(command({}).front(), "create"); }
  // Its file system backend, which comes up before QEMU, has the container's directory as a word.
  [[nodiscard]] bool has_vm() const { return find_process("/usr/", "-f") > 0; }
  [[nodiscard]] bool has_state() const {
    std::error_code none;
    return std::filesystem::directory_iterator(scratch() + "/docker-run/runtime-runc/moby", none) !=
           std::filesystem::directory_iterator();
  }
  // `docker run` of a container "web" in the background, up to the moment.
  template <class Moment>
  std::unique_ptr<Background> run_until(Moment moment) const {
    CommandOptions to_files;
    to_files.file_output = true;
    auto running = std::make_unique<Background>(
        client({"run", "--name", "web", "--runtime", "agentvm", "busybox", "sleep", "1000"}),
        to_files);
    EXPECT_TRUE(eventually(moment));
    return running;
  }
  void expect_no_vm() const {
    EXPECT_TRUE(eventually([&] { return !has_vm() && !has_state(); }))
        << run_command({"ps", "-ef"}).out;
  }
};

TEST_F(DockerMidCreate, ARuntimeThatIsKilledLeavesNothing) {
  const auto runs = [&] { return creator() > 0; };
  const auto known = [&] { return has_state(); };
  const auto boots = [&] { return has_vm(); };
  const std::vector<std::function<bool()>> moments{runs, known, boots};
  for (std::size_t i = 0; i < moments.size(); ++i) {
    const auto running = run_until(moments[i]);
    const pid_t pid = creator();
    ASSERT_GT(pid, 0) << "it was faster than the test: moment " << i;
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    EXPECT_NE(running->wait().status, 0) << i;
    expect_no_vm();
    EXPECT_EQ(docker({"rm", "--force", "web"}).status, 0) << i;
  }
  EXPECT_EQ(docker_run({"--rm"}, "exit 5").status, 5);
}

TEST_F(DockerMidCreate, AContainerThatIsRemovedMeanwhileLeavesNothing) {
  const auto running = run_until([&] { return has_state(); });
  EXPECT_EQ(docker({"rm", "--force", "web"}).status, 0);
  EXPECT_NE(running->wait().status, 0);
  expect_no_vm();
}

}  // namespace
}  // namespace agentvm::e2e
