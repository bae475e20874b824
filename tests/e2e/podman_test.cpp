// What users type at Podman, with storage and networks of the test's own.
#include "tests/e2e/harness/podman.h"

#include <sys/stat.h>

#include <csignal>
#include <filesystem>

namespace agentvm::e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class PodmanRun : public Podman {
 protected:
  void start_web(const std::string& script, std::vector<std::string> options = {}) const {
    options.insert(options.end(), {"--detach", "--name", "web"});
    const Outcome started = podman_run(options, script);
    ASSERT_EQ(started.status, 0) << started.err;
  }
  [[nodiscard]] std::string inspect(const std::string& format) const {
    return podman_out({"inspect", "--format", format, "web"});
  }
  [[nodiscard]] Outcome exec(const std::string& script) const {
    return podman({"exec", "web", "sh", "-c", script});
  }
};

TEST_F(PodmanRun, StreamsTerminalsExitCodesAndErrors) {
  EXPECT_EQ(podman_run({"--rm"}, "exit 7").status, 7);
  CommandOptions piped;
  piped.input = "typed\n";
  EXPECT_EQ(podman({"run", "--rm", "--interactive", "busybox", "cat"}, piped).out, "typed\n");
  EXPECT_EQ(podman_run({"--rm", "--tty"}, "tty; exit 3").out, "/dev/pts/0\r\n");
  const Outcome missing = podman({"run", "--rm", "busybox", "nosuchprogram"});
  EXPECT_EQ(missing.status, 127);
  EXPECT_THAT(missing.err,
              HasSubstr("exec: \\\"nosuchprogram\\\": executable file not found in $PATH"));
  const Outcome forbidden = podman({"run", "--rm", "busybox", "/etc/passwd"});
  EXPECT_EQ(forbidden.status, 126) << forbidden.err;
}

TEST_F(PodmanRun, ALifeWithExecLogsCopiesAndStop) {
  const std::string host = scratch() + "/host";
  std::filesystem::create_directory(host);
  start_web("trap 'echo bye; exit 3' TERM; echo up; while true; do sleep 0.1; done",
            {"--volume", "data:/data", "--volume", host + ":/host", "--memory", "128m",
             "--health-cmd", "test -e /bin/sh", "--health-interval", "disable"});
  EXPECT_EQ(inspect("{{.State.Status}} {{.OCIRuntime}}"), "running agentvm");
  EXPECT_THAT(podman_out({"ps", "--format", "{{.Names}} {{.Status}}"}), HasSubstr("web Up"));
  EXPECT_EQ(exec("echo in; exit 4").status, 4);
  EXPECT_EQ(podman({"exec", "--env", "B=2", "--workdir", "/tmp", "--user", "1000", "web", "sh",
                    "-c", "echo $B; pwd; id -u"})
                .out,
            "2\n/tmp\n1000\n");
  EXPECT_EQ(exec("cat /sys/fs/cgroup/memory.max").out, "134217728\n");
  EXPECT_EQ(podman({"healthcheck", "run", "web"}).status, 0);
  EXPECT_TRUE(eventually([&] { return podman({"logs", "web"}).out == "up\n"; }));
  EXPECT_THAT(podman_out({"stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "web"}),
              HasSubstr("web "));
  podman_out({"pause", "web"});
  EXPECT_EQ(inspect("{{.State.Status}}"), "paused");
  podman_out({"unpause", "web"});

  // Podman copies in the mount namespace of the process that it knows: the container is there.
  const std::string named = "/agentvm-copied-by-podman";
  write_file(scratch() + "/given", "from the host\n");
  podman_out({"cp", scratch() + "/given", "web:" + named});
  podman_out({"cp", scratch() + "/given", "web:/host/given"});
  podman_out({"cp", scratch() + "/given", "web:/data/given"});
  EXPECT_FALSE(std::filesystem::exists(named));
  EXPECT_EQ(exec("cat " + named + " /host/given /data/given").out,
            "from the host\nfrom the host\nfrom the host\n");
  EXPECT_EQ(read_file(host + "/given"), "from the host\n");
  EXPECT_EQ(exec("echo inside > /made").status, 0);
  podman_out({"cp", "web:/made", scratch() + "/taken"});
  EXPECT_EQ(read_file(scratch() + "/taken"), "inside\n");
  EXPECT_NE(podman({"cp", "web:" + scratch() + "/given", scratch() + "/stolen"}).status, 0);
  EXPECT_THAT(podman_out({"diff", "web"}), AllOf(HasSubstr("A /made"), HasSubstr("A " + named)));

  EXPECT_EQ(podman({"stop", "--time", "20", "web"}).status, 0);
  EXPECT_EQ(inspect("{{.State.Status}} {{.State.ExitCode}}"), "exited 3");
  EXPECT_EQ(podman({"logs", "web"}).out, "up\nbye\n");
  podman_out({"start", "web"});
  podman_out({"kill", "web"});
  EXPECT_EQ(podman_out({"wait", "web"}), "137");
  podman_out({"start", "web"});
  podman_out({"rm", "--force", "--time", "0", "web"});
  EXPECT_THAT(podman_out({"ps", "--all", "--quiet"}), IsEmpty());
}

TEST_F(PodmanRun, Networks) {
  EXPECT_EQ(podman_run({"--rm", "--network", "none"}, "ip -o link | wc -l").out, "1\n");
  podman_out({"network", "create", "backend"});
  start_web("echo hello > /index.html; exec httpd -f -p 80 -h /",
            {"--network", "backend", "--publish", "8080:80"});
  const std::string address = inspect("{{.NetworkSettings.Networks.backend.IPAddress}}");
  EXPECT_THAT(exec("ip addr show eth0").out, HasSubstr("inet " + address + "/24"));
  const std::vector<std::string> fetch{
      "sh", "-c", "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | socat -t 5 - TCP:10.88.0.2:8080"};
  EXPECT_TRUE(eventually([&] { return network_->run_outside(fetch).out.ends_with("hello\n"); }));
  // By aardvark-dns, at the bridge's address.
  const Outcome named = podman_run({"--rm", "--network", "backend"}, "wget -q -O - http://web/");
  EXPECT_EQ(named.out, "hello\n") << named.err;
  const Outcome host = podman_run({"--rm", "--network", "host"}, "true");
  EXPECT_EQ(host.status, 126);
  EXPECT_THAT(host.err, HasSubstr("cannot be shared with a VM"));
  const Outcome shared = podman_run({"--rm", "--network", "container:web"}, "true");
  EXPECT_NE(shared.status, 0);
}

// conmon has the container: Podman's end is nobody else's.
TEST_F(PodmanRun, WhatRunsGoesOnWhenPodmanIsKilled) {
  CommandOptions to_files;
  to_files.file_output = true;
  Background running(podman_command({"run", "--name", "web", "busybox", "sh", "-c",
                                     "until test -e /go; do sleep 0.1; done; echo done; exit 5"}),
                     to_files);
  EXPECT_TRUE(eventually([&] { return exec("true").status == 0; }));
  running.send(SIGKILL);
  EXPECT_EQ(running.wait().status, 137);
  EXPECT_EQ(exec("touch /go").status, 0);
  EXPECT_EQ(podman_out({"wait", "web"}), "5");
  EXPECT_EQ(podman({"logs", "web"}).out, "done\n");
}

// Podman marks a pod's containers, but not the infra container that they join: one VM for all.
TEST_F(PodmanRun, APodsContainersShareAVm) {
  podman_out({"pod", "create", "--name", "pod", "--hostname", "inn"});
  const Outcome first =
      podman_run({"--detach", "--name", "web", "--pod", "pod"},
                 "echo here > /dev/shm/note; echo hello > /index.html; httpd -h / && "
                 "cat /proc/sys/kernel/random/boot_id; exec sleep 1000");
  EXPECT_EQ(first.status, 0) << first.err;
  EXPECT_TRUE(eventually([&] { return podman({"logs", "web"}).out.size() > 30; }));
  const Outcome second = podman_run({"--rm", "--pod", "pod"},
                                    "cat /proc/sys/kernel/random/boot_id /dev/shm/note; hostname; "
                                    "wget -q -O - http://127.0.0.1/; exit 6");
  EXPECT_EQ(second.status, 6) << second.err;
  EXPECT_EQ(second.out, podman({"logs", "web"}).out + "here\ninn\nhello\n");
  podman_out({"pod", "stop", "--time", "0", "pod"});
  podman_out({"pod", "start", "pod"});
  EXPECT_EQ(podman({"exec", "web", "hostname"}).out, "inn\n");
  podman_out({"pod", "rm", "--force", "--time", "0", "pod"});
  EXPECT_THAT(podman_out({"ps", "--all", "--quiet"}), IsEmpty());
}

// Neither a user nor root of a user namespace, which is what a rootless Podman calls it as.
TEST_F(PodmanRun, RootlessIsRefused) {
  Bundle bundle(Bundle::shell("true"));
  bundle.store();
  // Where it may reach everything that it would need.
  for (const std::string& path : {scratch(), bundle.path()}) ::chmod(path.c_str(), 0755);
  for (const std::vector<std::string>& caller :
       {std::vector<std::string>{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"},
        std::vector<std::string>{"unshare", "--user", "--map-root-user"}}) {
    std::vector<std::string> argv = caller;
    for (const std::string& word : command({"run", "--bundle", bundle.path(), "web"})) {
      argv.push_back(word);
    }
    const Outcome refused = run_command(argv);
    EXPECT_EQ(refused.status, 1) << caller.front();
    EXPECT_THAT(refused.err, HasSubstr("a rootless container cannot be a VM: call agentvm, or the "
                                       "engine, as the host's root"))
        << caller.front();
  }
}

}  // namespace
}  // namespace agentvm::e2e
