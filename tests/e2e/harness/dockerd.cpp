#include "tests/e2e/harness/dockerd.h"

#include <fmt/format.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>

namespace agentvm::e2e {

namespace fs = std::filesystem;

void Docker::SetUp() {
  Agentvm::SetUp();
  if (HasFatalFailure()) return;
  network_ = std::make_unique<TestNetwork>();
  std::string wrapper = "#!/bin/sh\nexec";
  // Docker gives a --root of its own.
  for (const std::string& word : command({})) {
    if (word != "--root" && word != root()) wrapper += " " + word;
  }
  write_file(scratch() + "/runtime", wrapper + " \"$@\"\n", 0755);
  prepare_daemon();
  start_dockerd();
  if (!HasFatalFailure()) import_image();
}

void Docker::TearDown() {
  if (dockerd_) {
    const std::string all = docker({"ps", "--all", "--quiet"}).out;
    for (std::size_t at = 0, end = 0; at < all.size(); at = end + 1) {
      end = std::min(all.find('\n', at), all.size());
      (void)docker({"rm", "--force", "--volumes", all.substr(at, end - at)});
    }
    stop_dockerd();
    // One for each daemon that was killed.
    while (::umount((scratch() + "/docker").c_str()) == 0) {
    }
  }
  network_.reset();
  std::error_code ignored;
  for (const auto& hierarchy : fs::directory_iterator("/sys/fs/cgroup", ignored)) {
    ::rmdir((hierarchy.path().string() + cgroup_parent()).c_str());
  }
  ::rmdir(("/sys/fs/cgroup" + cgroup_parent()).c_str());
  Agentvm::TearDown();
}

std::string Docker::cgroup_parent() const {
  return fmt::format("/agentvm-e2e-{}", ::getpid());
}

void Docker::start_dockerd() {
  CommandOptions options;
  options.file_output = true;
  options.environment = {"DOCKER_RAMDISK="};
  if (!program_path.empty()) {
    options.environment.push_back("PATH=" + program_path + ":" + ::getenv("PATH"));
  }
  std::vector<std::string> argv = daemon_wrapper;
  argv.insert(argv.end(),
              {"/bin/sh", "-c", "exec \"$@\" >>\"$0\" 2>&1", scratch() + "/dockerd.log",
               dockerd_program, "--data-root", scratch() + "/docker", "--exec-root",
               scratch() + "/docker-run", "--pidfile", scratch() + "/docker.pid", "--host",
               "unix://" + scratch() + "/docker.sock", "--cgroup-parent", cgroup_parent(),
               "--ip6tables=false", "--add-runtime", "agentvm=" + scratch() + "/runtime"});
  argv.insert(argv.end(), daemon_options.begin(), daemon_options.end());
  if (in_host_network) argv.insert(argv.end(), {"--bridge", "none", "--iptables=false"});
  dockerd_ = std::make_unique<Background>(in_host_network ? argv : network_->inside(argv), options);
  ASSERT_TRUE(
      eventually([this] { return docker({"version"}).status == 0; }, std::chrono::seconds(60)))
      << "dockerd does not answer: " << daemon_log();
}

void Docker::stop_dockerd() {
  dockerd_->send(SIGTERM);
  (void)dockerd_->wait();
  dockerd_.reset();
  // Which it leaves mounted.
  (void)::umount((scratch() + "/docker-run/netns/default").c_str());
}

void Docker::crash_dockerd() {
  const std::string containerd_pid = scratch() + "/docker-run/containerd/containerd.pid";
  const pid_t containerd = std::atoi(read_file(containerd_pid).c_str());
  dockerd_->send(SIGKILL);
  EXPECT_TRUE(eventually([=] { return is_gone(containerd); })) << "containerd lives";
  (void)dockerd_->wait();
  dockerd_.reset();
  // A dockerd takes whatever has these numbers by now for the one that it looks for: a thread of
  // another program, a dead process that nobody has reaped.
  ::unlink((scratch() + "/docker.pid").c_str());
  ::unlink(containerd_pid.c_str());
  (void)::umount((scratch() + "/docker-run/netns/default").c_str());
}

// The applets of a bundle's root; /etc/passwd has a user "agent".
void Docker::import_image() const {
  const Bundle bundle({"true"});
  const std::string archive = scratch() + "/busybox.tar";
  ASSERT_EQ(run_command({"tar", "-C", bundle.rootfs(), "-cf", archive, "."}).status, 0);
  const Outcome imported = docker({"import", archive, "busybox"});
  ASSERT_EQ(imported.status, 0) << imported.err;
}

std::vector<std::string> Docker::client(const std::vector<std::string>& arguments) const {
  std::vector<std::string> argv{docker_program, "--host", "unix://" + scratch() + "/docker.sock"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return argv;
}

Outcome Docker::docker(const std::vector<std::string>& arguments,
                       const CommandOptions& options) const {
  return run_command(client(arguments), options);
}

Outcome Docker::docker_run(const std::vector<std::string>& options,
                           const std::string& script) const {
  return run_command(docker_run_command(options, script));
}

std::vector<std::string> Docker::docker_run_command(const std::vector<std::string>& options,
                                                    const std::string& script) const {
  std::vector<std::string> arguments{"run", "--runtime", runtime_name};
  arguments.insert(arguments.end(), options.begin(), options.end());
  arguments.insert(arguments.end(), {"busybox", "sh", "-c", script});
  return client(arguments);
}

void Docker::start_web(const std::string& script, std::vector<std::string> options) const {
  options.insert(options.end(), {"--detach", "--name", "web"});
  const Outcome started = docker_run(options, script);
  ASSERT_EQ(started.status, 0) << started.err;
}

std::string Docker::inspect_web(const std::string& format) const {
  return docker_out({"inspect", "--format", format, "web"});
}

std::string Docker::docker_out(const std::vector<std::string>& arguments) const {
  Outcome outcome = docker(arguments);
  EXPECT_EQ(outcome.status, 0) << arguments.front() << ": " << outcome.err;
  if (outcome.out.ends_with('\n')) outcome.out.pop_back();
  return outcome.out;
}

std::string Docker::log_of(const std::string& container) const {
  const std::string id = docker_out({"inspect", "--format", "{{.Id}}", container});
  return read_file(scratch() + "/docker-run/containerd/daemon/io.containerd.runtime.v2.task/moby/" +
                   id + "/log.json");
}

}  // namespace agentvm::e2e
