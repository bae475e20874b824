// Debian 13's Docker 26, in its two ways to a runtime: agentvm's command line behind containerd's
// shim for runc, and agentvm's own shim, named in daemon.json or by the user.
#include <filesystem>

#include "tests/e2e/harness/debian13.h"
#include "tests/e2e/harness/dockerd.h"

namespace agentvm::e2e {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr const char* kOwnShim = "own-shim";

class Docker26 : public Docker, public testing::WithParamInterface<const char*> {
 protected:
  void prepare_daemon() override {
    runtime_name = GetParam();
    dockerd_program = fetch_debian13("/usr/sbin/dockerd", "docker.io");
    docker_program = fetch_debian13("/usr/bin/docker", "docker-cli");
    // What belongs to the daemon, without the rest of what its package came with: runc wants a
    // newer C library than Debian 12's, and none of these tests runs it.
    program_path = scratch() + "/bin";
    fs::create_directory(program_path);
    const fs::path sbin = fs::path(dockerd_program).parent_path();
    const fs::path bin = sbin.parent_path() / "bin";
    for (const fs::path& program :
         {bin / "containerd", bin / "containerd-shim-runc-v2", bin / "docker-init",
          sbin / "docker-proxy", fs::path(shim_binary())}) {
      fs::create_symlink(program, fs::path(program_path) / program.filename());
    }
    write_file(scratch() + "/daemon.json",
               R"({"runtimes": {"own-shim": {"runtimeType": "io.containerd.agentvm.v2", )"
               R"("options": {"ConfigPath": ")" +
                   scratch() + R"(/config.toml"}}}})");
    daemon_options = {"--config-file", scratch() + "/daemon.json"};
    // Where a runtime that is named without options looks for its configuration.
    const std::string etc = scratch() + "/etc";
    fs::create_directories(etc + "/agentvm");
    fs::copy(scratch() + "/config.toml", etc + "/agentvm/config.toml");
    daemon_wrapper = with_etc(etc);
  }
};

TEST_P(Docker26, RunsExecsAndEnds) {
  EXPECT_THAT(docker_out({"version", "--format", "{{.Server.Version}}"}), HasSubstr("26.1."));
  EXPECT_EQ(docker_run({"--rm"}, "exit 7").status, 7);
  CommandOptions piped;
  piped.input = "typed\n";
  EXPECT_EQ(docker({"run", "--rm", "-i", "--runtime", runtime_name, "busybox", "cat"}, piped).out,
            "typed\n");
  const Outcome missing =
      docker({"run", "--rm", "--runtime", runtime_name, "busybox", "nosuchprogram"});
  EXPECT_EQ(missing.status, 127);
  EXPECT_THAT(missing.err,
              HasSubstr("exec: \"nosuchprogram\": executable file not found in $PATH"));

  start_web("echo first; trap 'echo bye; exit 3' TERM; while true; do sleep 0.1; done",
            {"--memory", "128m", "--tty"});
  EXPECT_TRUE(eventually([&] { return docker({"logs", "web"}).out == "first\r\n"; }));
  const Outcome exec = docker({"exec", "-e", "B=2", "-w", "/tmp", "-u", "1000", "web", "sh", "-c",
                               "echo $B; pwd; id -u; exit 4"});
  EXPECT_EQ(exec.out, "2\n/tmp\n1000\n");
  EXPECT_EQ(exec.status, 4);
  EXPECT_EQ(docker({"exec", "-i", "web", "cat"}, piped).out, "typed\n");
  EXPECT_THAT(docker_out({"top", "web"}), HasSubstr("PID"));
  write_file(scratch() + "/given", "from the host\n");
  docker_out({"cp", scratch() + "/given", "web:/given"});
  EXPECT_EQ(docker({"exec", "web", "cat", "/given"}).out, "from the host\n");
  docker_out({"update", "--memory", "100m", "--memory-swap", "100m", "web"});
  EXPECT_EQ(docker({"exec", "web", "cat", "/sys/fs/cgroup/memory.max"}).out, "104857600\n");
  docker_out({"pause", "web"});
  EXPECT_EQ(inspect_web("{{.State.Status}}"), "paused");
  docker_out({"unpause", "web"});
  EXPECT_EQ(docker({"stop", "--time", "20", "web"}).status, 0);
  EXPECT_EQ(inspect_web("{{.State.ExitCode}}"), "3");
  docker_out({"restart", "web"});
  docker_out({"kill", "web"});
  EXPECT_TRUE(eventually([&] { return inspect_web("{{.State.Status}}") == "exited"; }));
  EXPECT_EQ(inspect_web("{{.State.ExitCode}}"), "137");
  docker_out({"start", "web"});
  docker_out({"rm", "--force", "web"});
}

TEST_P(Docker26, NetworksPortsAndNames) {
  docker_out({"network", "create", "backend"});
  docker_out({"network", "create", "other"});
  start_web("echo hello > /index.html; exec httpd -f -p 80 -h /",
            {"--network", "backend", "--publish", "8080:80"});
  const std::string fetch = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | socat -t 5 - TCP:10.88.0.2:8080";
  EXPECT_TRUE(eventually(
      [&] { return network_->run_outside({"sh", "-c", fetch}).out.ends_with("hello\n"); }));
  const Outcome client =
      docker_run({"--rm", "--network", "backend"}, "wget -q -O - http://web/ && nslookup web");
  EXPECT_THAT(client.out, HasSubstr("hello\n")) << client.err << daemon_log();
  docker_out({"network", "connect", "other", "web"});
  EXPECT_TRUE(eventually([&] {
    return docker({"exec", "web", "ip", "addr", "show", "eth1"}).out.find("inet ") !=
           std::string::npos;
  }));
  EXPECT_EQ(docker_run({"--rm", "--network", "none"}, "ip -o link | wc -l").out, "1\n");
  const Outcome host = docker_run({"--rm", "--network", "host"}, "true");
  EXPECT_EQ(host.status, 125);
  EXPECT_THAT(host.err, HasSubstr("cannot be shared with a VM"));
}

std::string way_of(const testing::TestParamInfo<const char*>& which) {
  if (which.param == std::string_view("agentvm")) return "RuncsShim";
  return which.param == std::string_view(kOwnShim) ? "ItsOwnShim" : "ItsOwnName";
}

INSTANTIATE_TEST_SUITE_P(Through, Docker26, testing::Values("agentvm", kOwnShim), way_of);

class Docker26OwnShim : public Docker26 {};

TEST_P(Docker26OwnShim, IsFoundByItsNameAndTellsTheGuestsFigures) {
  start_web("while true; do :; done", {"--memory", "128m", "--pids-limit", "50"});
  // Of 128 MiB that the container may have, not of what its VM takes.
  EXPECT_TRUE(eventually([&] {
    const std::string stats = docker_out(
        {"stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}} {{.CPUPerc}}", "web"});
    return stats.find("/ 128MiB 1 ") != std::string::npos && !stats.ends_with(" 0.00%");
  })) << docker_out({"stats", "--no-stream", "web"});
}

INSTANTIATE_TEST_SUITE_P(Through, Docker26OwnShim, testing::Values("io.containerd.agentvm.v2"),
                         way_of);

}  // namespace
}  // namespace agentvm::e2e
