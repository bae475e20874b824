// What users type at Docker, with a dockerd of the test's own: run and its options, what is done to
// containers that run, volumes, files, exit codes and errors.
#include <csignal>

#include "tests/e2e/harness/dockerd.h"

namespace agentvm::e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class DockerRun : public Docker {
 protected:
  // Standard output of a container that must succeed.
  std::string output_of(const std::vector<std::string>& options, const std::string& script) const {
    std::vector<std::string> all{"--rm"};
    all.insert(all.end(), options.begin(), options.end());
    const Outcome outcome = docker_run(all, script);
    EXPECT_EQ(outcome.status, 0) << script << ": " << outcome.err;
    return outcome.out;
  }
};

TEST_F(DockerRun, OptionsOfTheProcess) {
  EXPECT_EQ(output_of({"-e", "A=1", "-w", "/tmp", "-u", "1000:1000", "--hostname", "box"},
                      "echo $A; pwd; id -u; hostname"),
            "1\n/tmp\n1000\nbox\n");
  EXPECT_EQ(output_of({"--entrypoint", "/bin/echo"}, "x"), "sh -c x\n");
  EXPECT_EQ(output_of({"--ulimit", "nofile=1234:2345"}, "ulimit -n; ulimit -H -n"), "1234\n2345\n");
  EXPECT_EQ(output_of({"--sysctl", "net.ipv4.ip_unprivileged_port_start=1025"},
                      "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"),
            "1025\n");
  EXPECT_EQ(output_of({"--security-opt", "no-new-privileges"},
                      "grep NoNewPrivs /proc/self/status | cut -f 2"),
            "1\n");
  EXPECT_EQ(output_of({}, "grep Seccomp: /proc/self/status | cut -f 2"), "2\n");
  EXPECT_EQ(output_of({"--security-opt", "seccomp=unconfined"},
                      "grep Seccomp: /proc/self/status | cut -f 2"),
            "0\n");
}

TEST_F(DockerRun, OptionsOfTheFileSystem) {
  EXPECT_EQ(output_of({"--read-only", "--tmpfs", "/scratch:size=1m"},
                      "touch /x 2>/dev/null || echo refused; touch /scratch/x && echo made"),
            "refused\nmade\n");
  EXPECT_THAT(output_of({"--shm-size", "12m"}, "df -k /dev/shm | tail -1"), HasSubstr("12288"));
}

TEST_F(DockerRun, Privileges) {
  EXPECT_NE(docker_run({"--rm", "--cap-drop", "CHOWN"}, "chown 1 /tmp").status, 0);
  EXPECT_EQ(output_of({"--cap-add", "SYS_ADMIN"},
                      "mount -t tmpfs none /mnt 2>/dev/null || "
                      "mkdir /mnt; mount -t tmpfs none /mnt && echo yes"),
            "yes\n");
  // All of the guest's, none of the host's.
  const std::string seen = output_of({"--privileged"}, "mount -t tmpfs none /tmp && ls /dev");
  EXPECT_THAT(seen, Not(HasSubstr("vda")));
  const Outcome device = docker_run({"--rm", "--device", "/dev/fuse:/dev/mine"}, "ls /dev/mine");
  EXPECT_TRUE(device.status == 0 || device.err.find("/dev/mine") != std::string::npos)
      << device.err;
  const Outcome disk = docker_run({"--rm", "--device", "/dev/loop-control"}, "true");
  EXPECT_EQ(disk.status, 125);
  EXPECT_THAT(disk.err, HasSubstr("/dev/loop-control"));
}

TEST_F(DockerRun, Limits) {
  EXPECT_EQ(output_of({"--memory", "96m", "--pids-limit", "40"},
                      "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max"),
            "100663296\n40\n");
  EXPECT_EQ(output_of({"--cpus", "2"}, "nproc"), "2\n");
  EXPECT_EQ(output_of({"--cpuset-cpus", "0"}, "nproc"), "1\n");
  const Outcome killed =
      docker_run({"--memory", "64m", "--memory-swap", "64m", "--tmpfs", "/t:size=200m"},
                 "exec dd if=/dev/zero of=/t/x bs=1M count=150");
  EXPECT_EQ(killed.status, 137) << killed.err;
}

TEST_F(DockerRun, ExitCodesAndErrorsAreRuncs) {
  for (const std::string runtime : {"agentvm", "runc"}) {
    const auto status = [&](const std::vector<std::string>& command) {
      std::vector<std::string> arguments{"run", "--rm", "--runtime", runtime, "busybox"};
      arguments.insert(arguments.end(), command.begin(), command.end());
      return docker(arguments);
    };
    EXPECT_EQ(status({"sh", "-c", "exit 7"}).status, 7) << runtime;
    EXPECT_EQ(status({"sh", "-c", "sh -c 'kill -TERM $$'; exit $?"}).status, 143) << runtime;
    const Outcome missing = status({"nosuchprogram"});
    EXPECT_EQ(missing.status, 127) << runtime;
    EXPECT_THAT(missing.err,
                HasSubstr("exec: \"nosuchprogram\": executable file not found in $PATH"))
        << runtime;
    const Outcome forbidden = status({"/etc/passwd"});
    EXPECT_EQ(forbidden.status, 126) << runtime;
    EXPECT_THAT(forbidden.err, HasSubstr("permission denied")) << runtime;
  }
}

TEST_F(DockerRun, StandardStreamsAndTerminals) {
  CommandOptions options;
  options.input = "typed\n";
  const Outcome piped =
      docker({"run", "--rm", "-i", "--runtime", "agentvm", "busybox", "cat"}, options);
  EXPECT_EQ(piped.out, "typed\n") << piped.err;
  start_web("echo out; echo err >&2; tty; sleep 1000", {"-t"});
  EXPECT_TRUE(eventually([&] {
    return docker({"logs", "web"}).out.find("/dev/pts/0\r\n") != std::string::npos;
  })) << docker({"logs", "web"}).out;
}

TEST_F(DockerRun, LogsExecTopStatsAndWait) {
  start_web("echo first; trap 'echo bye; exit 3' TERM; while true; do sleep 0.1; done");
  EXPECT_TRUE(eventually([&] { return docker({"logs", "web"}).out == "first\n"; }));
  EXPECT_EQ(docker({"exec", "-e", "B=2", "-w", "/tmp", "-u", "1000", "web", "sh", "-c",
                    "echo $B; pwd; id -u; exit 4"})
                .out,
            "2\n/tmp\n1000\n");
  EXPECT_EQ(docker({"exec", "web", "sh", "-c", "exit 4"}).status, 4);
  EXPECT_EQ(docker({"exec", "-d", "web", "sh", "-c", "echo detached > /made"}).status, 0);
  EXPECT_TRUE(
      eventually([&] { return docker({"exec", "web", "cat", "/made"}).out == "detached\n"; }));
  EXPECT_THAT(docker_out({"top", "web"}), HasSubstr("trap"));
  const std::string stats =
      docker_out({"stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", "web"});
  EXPECT_THAT(stats, HasSubstr("MiB"));
  const Background waiting(
      {"/usr/bin/docker", "--host", "unix://" + scratch() + "/docker.sock", "wait", "web"});
  // Init handles SIGTERM: fast, and with its own exit code.
  EXPECT_EQ(docker({"stop", "--time", "20", "web"}).status, 0);
  EXPECT_EQ(inspect_web("{{.State.ExitCode}}"), "3");
  EXPECT_EQ(docker({"logs", "web"}).out, "first\nbye\n");
}

TEST_F(DockerRun, PauseUpdateRestartAndKill) {
  start_web("while true; do echo tick; sleep 0.1; done", {"--memory", "200m"});
  docker_out({"pause", "web"});
  const std::string paused = docker({"logs", "web"}).out;
  EXPECT_EQ(inspect_web("{{.State.Status}}"), "paused");
  EXPECT_EQ(docker({"logs", "web"}).out, paused);
  docker_out({"unpause", "web"});
  EXPECT_TRUE(eventually([&] { return docker({"logs", "web"}).out.size() > paused.size(); }));
  docker_out({"update", "--memory", "150m", "--memory-swap", "150m", "web"});
  EXPECT_EQ(docker({"exec", "web", "cat", "/sys/fs/cgroup/memory.max"}).out, "157286400\n");
  const std::string before = inspect_web("{{.State.StartedAt}}");
  docker_out({"restart", "--time", "0", "web"});
  EXPECT_NE(inspect_web("{{.State.StartedAt}}"), before);
  EXPECT_EQ(docker({"exec", "web", "true"}).status, 0);
  docker_out({"kill", "web"});
  EXPECT_TRUE(eventually([&] { return inspect_web("{{.State.Status}}") == "exited"; }));
  EXPECT_EQ(inspect_web("{{.State.ExitCode}}"), "137");
}

TEST_F(DockerRun, RestartPoliciesAndHealthChecks) {
  start_web("echo run; exit 1", {"--restart", "on-failure:2"});
  EXPECT_TRUE(
      eventually([&] { return inspect_web("{{.RestartCount}} {{.State.Running}}") == "2 false"; },
                 std::chrono::seconds(60)))
      << inspect_web("{{.RestartCount}} {{.State.Status}}");
  EXPECT_EQ(docker({"logs", "web"}).out, "run\nrun\nrun\n");
  docker_out({"rm", "web"});
  start_web("sleep 1000", {"--health-cmd", "test -e /bin/sh", "--health-interval", "1s"});
  EXPECT_TRUE(eventually([&] { return inspect_web("{{.State.Health.Status}}") == "healthy"; }));
}

TEST_F(DockerRun, CopyDiffAndCommitSeeTheContainersFiles) {
  start_web("echo inside > /made; sleep 1000");
  write_file(scratch() + "/given", "from the host\n");
  docker_out({"cp", scratch() + "/given", "web:/given"});
  EXPECT_EQ(docker({"exec", "web", "cat", "/given"}).out, "from the host\n");
  EXPECT_TRUE(
      eventually([&] { return docker({"exec", "web", "cat", "/made"}).out == "inside\n"; }));
  docker_out({"cp", "web:/made", scratch() + "/taken"});
  EXPECT_EQ(read_file(scratch() + "/taken"), "inside\n");
  EXPECT_THAT(docker_out({"diff", "web"}), AllOf(HasSubstr("A /made"), HasSubstr("A /given")));
  docker_out({"commit", "web", "changed"});
  EXPECT_EQ(docker({"run", "--rm", "changed", "cat", "/made"}).out, "inside\n");
}

TEST_F(DockerRun, Volumes) {
  const std::string host = scratch() + "/host";
  ASSERT_EQ(run_command({"mkdir", host}).status, 0);
  write_file(host + "/file", "hello\n", 0640);
  ASSERT_EQ(run_command({"chown", "1000:1001", host + "/file"}).status, 0);
  EXPECT_EQ(
      output_of({"-v", host + ":/work"},
                "stat -c '%u:%g %a' /work/file; echo new > /work/new; ln /work/new /work/hard; "
                "mv /work/hard /work/moved"),
      "1000:1001 640\n");
  EXPECT_EQ(read_file(host + "/moved"), "new\n");
  EXPECT_EQ(output_of({"-v", host + ":/work:ro"}, "echo x > /work/x 2>/dev/null || echo refused"),
            "refused\n");
  EXPECT_EQ(output_of({"-v", host + "/file:/one"}, "cat /one"), "hello\n");
  docker_out({"volume", "create", "data"});
  EXPECT_EQ(output_of({"-v", "data:/data"}, "echo kept > /data/x"), "");
  EXPECT_EQ(output_of({"-v", "data:/data"}, "cat /data/x"), "kept\n");
  EXPECT_EQ(output_of({"--mount", "type=tmpfs,destination=/t"}, "df /t | grep -c tmpfs"), "1\n");
  docker_out({"volume", "rm", "data"});
}

}  // namespace
}  // namespace agentvm::e2e
