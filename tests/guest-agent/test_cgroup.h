// A cgroup v2 directory of a test's own, and children to put into it. Gone with the test.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <string>

#include "guest-agent/cgroup.h"
#include "guest-agent/cgroup_events.h"
#include "guest-agent/cgroup_files.h"
#include "oci/base/sys.h"

namespace agentvm::guest {

inline constexpr std::chrono::milliseconds kPatience{10000};

// The first cgroup2 mount of this host; empty without one.
inline std::string cgroup2_mount() {
  std::ifstream mounts("/proc/self/mounts");
  std::string device;
  std::string path;
  std::string type;
  std::string rest;
  while (mounts >> device >> path >> type && std::getline(mounts, rest)) {
    if (type == "cgroup2") return path;
  }
  return {};
}

class CgroupTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string mount = cgroup2_mount();
    if (::geteuid() != 0 || mount.empty()) GTEST_SKIP() << "needs root and a cgroup2 mount";
    root_ = mount + "/agentvm-test-" + std::to_string(::getpid());
    ASSERT_EQ(::mkdir(root_.c_str(), 0755), 0);
    auto tree = prepare_cgroup_tree(root_, false);
    ASSERT_TRUE(tree.has_value()) << tree.error().text();
    tree_ = *std::move(tree);
  }

  void TearDown() override {
    if (root_.empty()) return;
    (void)sys::write_file(root_ + "/cgroup.kill", "1");
    while (::waitpid(-1, nullptr, 0) > 0) {
    }
    // Children of an agent that is gone are somebody else's to reap.
    asio::io_context io;
    (void)run_to_end(io, wait_for_cgroup_event(root_, "populated", false, kPatience));
    auto directories = cgroup_directories(root_);
    ASSERT_TRUE(directories.has_value());
    std::ranges::reverse(*directories);
    for (const std::string& directory : *directories) {
      EXPECT_EQ(::rmdir(directory.c_str()), 0) << directory;
    }
  }

  // A child in `cgroup` that runs `body` and exits with what it returns.
  static pid_t start_in(const std::string& cgroup, const std::function<int()>& body) {
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    if (!sys::write_file(cgroup + "/cgroup.procs", "0")) ::_exit(99);
    ::_exit(body());
  }

  // A child in `cgroup` that stays; it is inside when this returns.
  static pid_t start_idle_in(const std::string& cgroup) {
    auto ready = sys::pipe();
    const pid_t pid = start_in(cgroup, [&] {
      ready->first.reset();
      ready->second.reset();
      for (;;) ::pause();
      return 0;
    });
    ready->second.reset();
    (void)sys::read_all(ready->first.get(), 1);
    return pid;
  }

  std::string root_;
  CgroupTree tree_;
};

}  // namespace agentvm::guest
