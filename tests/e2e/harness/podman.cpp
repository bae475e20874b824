#include "tests/e2e/harness/podman.h"

#include <fmt/format.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace agentvm::e2e {

namespace fs = std::filesystem;

namespace {

// What Podman's storage leaves mounted, the innermost first.
void unmount_below(const std::string& directory) {
  std::vector<std::string> points;
  std::ifstream mounts("/proc/self/mounts");
  for (std::string source, point, rest; mounts >> source >> point && std::getline(mounts, rest);) {
    if (point.starts_with(directory + "/")) points.push_back(point);
  }
  std::ranges::sort(points, std::greater());
  for (const std::string& point : points) (void)::umount2(point.c_str(), MNT_DETACH);
}

// The cgroups that Podman puts containers and their conmon into, and leaves.
void remove_empty_parents() {
  std::vector<std::string> places{"/sys/fs/cgroup"};
  std::error_code ignored;
  for (const auto& hierarchy : fs::directory_iterator("/sys/fs/cgroup", ignored)) {
    places.push_back(hierarchy.path().string());
  }
  for (const std::string& place : places) {
    ::rmdir((place + "/libpod_parent/conmon").c_str());
    ::rmdir((place + "/libpod_parent").c_str());
  }
}

}  // namespace

void Podman::SetUp() {
  Agentvm::SetUp();
  if (HasFatalFailure()) return;
  network_ = std::make_unique<TestNetwork>();
  configure_podman();
  const Bundle bundle({"true"});
  const std::string archive = scratch() + "/busybox.tar";
  ASSERT_EQ(run_command({"tar", "-C", bundle.rootfs(), "-cf", archive, "."}).status, 0);
  const Outcome imported = podman({"import", archive, "busybox"});
  ASSERT_EQ(imported.status, 0) << imported.err;
}

void Podman::TearDown() {
  if (network_) {
    (void)podman({"pod", "rm", "--all", "--force"});
    const Outcome removed = podman({"rm", "--all", "--force", "--time", "0", "--volumes"});
    EXPECT_EQ(removed.status, 0) << removed.err;
    unmount_below(scratch());
    network_.reset();
    remove_empty_parents();
  }
  Agentvm::TearDown();
}

// As the packages leave it, but for where everything is; 10.88.0.0/16, its own default, is the
// test network's.
void Podman::configure_podman() const {
  std::string runtime = "#!/bin/sh\nexec";
  for (const std::string& word : command({})) runtime += " " + word;
  write_file(scratch() + "/runtime", runtime + " \"$@\"\n", 0755);
  fs::create_directories(scratch() + "/networks");
  write_file(scratch() + "/containers.conf", fmt::format("[network]\n"
                                                         "network_backend = \"netavark\"\n"
                                                         "network_config_dir = \"{0}/networks\"\n"
                                                         "default_subnet = \"10.87.0.0/16\"\n"
                                                         "[engine]\n"
                                                         "cgroup_manager = \"cgroupfs\"\n"
                                                         "events_logger = \"file\"\n"
                                                         "[engine.runtimes]\n"
                                                         "agentvm = [\"{0}/runtime\"]\n",
                                                         scratch()));
}

std::vector<std::string> Podman::podman_command(const std::vector<std::string>& arguments) const {
  std::vector<std::string> argv{"env",
                                "CONTAINERS_CONF=" + scratch() + "/containers.conf",
                                "podman",
                                "--root",
                                scratch() + "/storage",
                                "--runroot",
                                scratch() + "/run",
                                "--tmpdir",
                                scratch() + "/tmp",
                                "--storage-driver",
                                "overlay",
                                "--runtime",
                                "agentvm"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return network_->inside(argv);
}

Outcome Podman::podman(const std::vector<std::string>& arguments,
                       const CommandOptions& options) const {
  return run_command(podman_command(arguments), options);
}

Outcome Podman::podman_run(const std::vector<std::string>& options,
                           const std::string& script) const {
  std::vector<std::string> arguments{"run"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  arguments.insert(arguments.end(), {"busybox", "sh", "-c", script});
  return podman(arguments);
}

std::string Podman::podman_out(const std::vector<std::string>& arguments) const {
  Outcome outcome = podman(arguments);
  EXPECT_EQ(outcome.status, 0) << arguments.front() << ": " << outcome.err;
  if (outcome.out.ends_with('\n')) outcome.out.pop_back();
  return outcome.out;
}

}  // namespace agentvm::e2e
