// Containers' own disks: what lives on them, how long, and what becomes of it when space runs out
// or the VM dies. Small images without a Docker: docker_inside_test.cpp has the real one.
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <regex>

#include "tests/e2e/harness/container.h"

namespace agentvm::e2e {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr const char* kImage = "agentvm-disk.img";

// A container whose root is an overlay of the host, as engines make it: restarted with the same
// writable layer, which somebody else removes. What its image calls dockerd is a shell script that
// stands in for the program's start alone.
class Disks : public Agentvm {
 protected:
  Disks() : bundle_(Bundle::shell("exec sleep 1000")) {
    bundle_.add_file("usr/bin/dockerd",
                     "#!/bin/sh\n"
                     "echo \"API with $LISTEN_FDS of $LISTEN_PID in $$ as $(id -u): $*\" >&2\n"
                     "ls -l /proc/$$/fd/3 >&2\n"
                     "exit 3\n",
                     0755);
    bundle_.spec.annotations = {{"io.agentvm.docker", "true"}, {"io.agentvm.disk_mib", "256"}};
  }

  void SetUp() override {
    Agentvm::SetUp();
    if (HasFatalFailure()) return;
    allow_disks();
    layer_ = scratch() + "/layer";
    for (const char* name : {"/diff", "/work", "/merged"}) fs::create_directories(layer_ + name);
    const std::string options = fmt::format("lowerdir={},upperdir={}/diff,workdir={}/work",
                                            bundle_.rootfs(), layer_, layer_);
    ASSERT_EQ(::mount("overlay", merged().c_str(), "overlay", 0, options.c_str()), 0);
    plain_root_ = bundle_.rootfs();
    bundle_.spec.root->path = merged();
  }
  void TearDown() override {
    for (const char* id : {"disked", "other"}) (void)agentvm({"delete", "--force", id});
    if (!layer_.empty()) ::umount(merged().c_str());
    Agentvm::TearDown();
  }

  void allow_disks(const std::string& more = "") const {
    configure("[security]\nallowed_annotations = [\"io.agentvm.disk_mib\"]\n" + more);
  }
  [[nodiscard]] std::string merged() const { return layer_ + "/merged"; }
  [[nodiscard]] std::string image() const { return layer_ + "/" + kImage; }
  void start_web() const {
    create("disked", bundle_);
    if (!HasFatalFailure()) start("disked");
  }
  void delete_web() const {
    const Outcome deleted = agentvm({"delete", "--force", "disked"});
    EXPECT_EQ(deleted.status, 0) << deleted.err;
  }
  // What a shell in the container prints.
  std::string in_web(const std::string& script) const {
    const Outcome outcome = agentvm(
        {"exec", "--cap", "CAP_NET_ADMIN", "--cap", "CAP_SYSLOG", "disked", "sh", "-c", script});
    EXPECT_EQ(outcome.status, 0) << script << ": " << outcome.out << outcome.err;
    return outcome.out;
  }

  Bundle bundle_;
  std::string layer_;
  std::string plain_root_;
};

TEST_F(Disks, HoldDockersDirectoriesAndStayWithTheWritableLayer) {
  start_web();
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_THAT(in_web("grep -E ' /var/lib/(docker|containerd) ' /proc/mounts"),
              AllOf(HasSubstr("/dev/vda /var/lib/docker ext4 rw"),
                    HasSubstr("/dev/vda /var/lib/containerd ext4 rw"), HasSubstr("discard")));
  in_web(
      "echo kept > /var/lib/docker/file; dd if=/dev/zero bs=1M count=3 of=/var/lib/docker/zeros; "
      "dd if=/dev/urandom bs=1M count=20 of=/var/lib/docker/big");
  // It is a file system of its own inside and one file outside, beside the layer and not in it.
  EXPECT_FALSE(fs::exists(layer_ + "/diff/var/lib/docker/file"));
  const std::string state = agentvm({"state", "--verbose", "disked"}).out;
  EXPECT_THAT(state, AllOf(HasSubstr("\"path\": \"" + image() + "\""),
                           HasSubstr("\"sizeMiB\": 256"), HasSubstr("\"usedMiB\": ")));
  // What is deleted is given back.
  const auto used = [this] {
    struct stat status{};
    return ::stat(image().c_str(), &status) == 0 ? status.st_blocks / 2048 : -1;
  };
  in_web("sync");
  EXPECT_GE(used(), 20);
  in_web("rm /var/lib/docker/big; sync");
  EXPECT_TRUE(eventually([&] { return used() < 12; })) << used();

  // Another one cannot have it.
  const Outcome second = agentvm({"create", "--bundle", bundle_.path(), "other"});
  EXPECT_EQ(second.status, 1);
  EXPECT_THAT(second.err, HasSubstr("disk '" + image() + "': another container has it"));

  // Ended by itself, ended by the death of QEMU while it writes: what was written stays.
  in_web("echo last > /var/lib/docker/unsynced");
  EXPECT_EQ(agentvm({"kill", "disked", "KILL"}).status, 0);
  wait_for_status("disked", "stopped");
  delete_web();
  start_web();
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_EQ(in_web("cat /var/lib/docker/file /var/lib/docker/unsynced"), "kept\nlast\n");
  EXPECT_EQ(
      agentvm({"exec", "--detach", "disked", "sh", "-c",
               "while :; do for i in 1 2 3 4 5 6 7 8 9; do mkdir -p /var/lib/docker/$i/a; "
               "echo $i > /var/lib/docker/$i/a/b; sync; done; rm -r /var/lib/docker/[1-9]; done"})
          .status,
      0);
  EXPECT_TRUE(eventually([this] {
    return agentvm({"exec", "disked", "test", "-e", "/var/lib/docker/5/a/b"}).status == 0;
  }));
  for (const pid_t pid : processes_of("disked", "qemu-system")) ::kill(pid, SIGKILL);
  wait_for_status("disked", "stopped");
  delete_web();
  start_web();
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_EQ(
      in_web("cat /var/lib/docker/file; touch /var/lib/docker/again; rm -r /var/lib/docker/[1-9]; "
             "dmesg | grep -c 'EXT4-fs error' || true"),
      "kept\n0\n");
  delete_web();
  EXPECT_TRUE(fs::exists(image()));
}

TEST_F(Disks, DockerStartsWithTheFirstConnectionAndItsLogIsThere) {
  bundle_.add_file("var/run/docker.pid", "1");
  bundle_.add_file("etc/group", "root:x:0:\ndocker:x:77:\n");
  const Outcome copied =
      run_command({"sh", "-c",
                   "cd / && for f in usr/bin/socat $(ldd /usr/bin/socat | grep -o '/[^ ]*'); do "
                   "install -D \"/$f\" \"$0/$f\" || exit 1; done",
                   plain_root_});
  ASSERT_EQ(copied.status, 0) << copied.err;
  start_web();
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_EQ(in_web("stat -c '%A %u %g' /var/run/docker.sock"), "srw-rw---- 0 77\n");
  // Whoever has the number that the last VM's dockerd had is not dockerd.
  EXPECT_EQ(in_web("ls /var/run/docker.pid 2>/dev/null; ls -A /var/run/docker"), "");
  EXPECT_EQ(in_web("ls -d /sys/fs/cgroup/init 2>&1 || true"),
            "ls: /sys/fs/cgroup/init: No such file or directory\n");
  EXPECT_EQ(agentvm({"logs", "--docker", "disked"}).out, "");
  // The connection ends with the daemon that did not serve it; the next one starts another.
  for (int times = 1; times <= 2; ++times) {
    (void)agentvm({"exec", "disked", "socat", "-", "UNIX:/var/run/docker.sock"});
    EXPECT_TRUE(eventually([&] {
      const std::string log = agentvm({"logs", "--docker", "disked"}).out;
      std::size_t count = 0;
      for (std::size_t at = log.find("has ended"); at != std::string::npos;
           at = log.find("has ended", at + 1)) {
        ++count;
      }
      return count >= static_cast<std::size_t>(times);
    })) << agentvm({"logs", "--docker", "disked"}).out;
  }
  const std::string log = agentvm({"logs", "--docker", "disked"}).out;
  EXPECT_TRUE(
      std::regex_search(log, std::regex("API with 1 of ([0-9]+) in \\1 as 0: --host fd://")))
      << log;
  EXPECT_THAT(log, HasSubstr("3 -> socket:"));
  // Its processes have made room for cgroups of its own.
  EXPECT_EQ(in_web("cat /sys/fs/cgroup/cgroup.procs; mkdir /sys/fs/cgroup/docker && "
                   "echo +pids > /sys/fs/cgroup/cgroup.subtree_control && "
                   "cat /sys/fs/cgroup/docker/pids.max"),
            "max\n");
  // And the kernel finds what Docker's networks need, by itself.
  in_web(
      "ip link add br9 type bridge && ip link add d9 type dummy && "
      "grep -E '^(bridge|dummy) ' /proc/modules");
  delete_web();
}

TEST_F(Disks, TheRootOnTheDiskIsTheContainersAlone) {
  bundle_.spec.annotations = {{"io.agentvm.rootfs", "overlay"}, {"io.agentvm.disk_mib", "128"}};
  start_web();
  ASSERT_FALSE(HasFatalFailure());
  in_web("echo mine > /file; rm /usr/bin/dockerd; grep '^overlay / overlay ' /proc/mounts");
  EXPECT_FALSE(fs::exists(merged() + "/file"));
  EXPECT_TRUE(fs::exists(merged() + "/usr/bin/dockerd"));
  // Full inside: an error there, nothing else.
  EXPECT_THAT(in_web("dd if=/dev/urandom of=/big bs=1M count=200 2>&1 || true"),
              HasSubstr("No space left on device"));
  in_web("rm /big");
  const Outcome logs = agentvm({"logs", "--docker", "disked"});
  EXPECT_EQ(logs.status, 1);
  EXPECT_THAT(logs.err, HasSubstr("agentvm exec disked cat /var/log/docker.log"));
  // The end of the program waits for the disk; a delete by force, as a power cut, does not.
  EXPECT_EQ(agentvm({"kill", "disked", "KILL"}).status, 0);
  wait_for_status("disked", "stopped");
  delete_web();
  start_web();
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_EQ(in_web("cat /file; ls /usr/bin/dockerd 2>&1 || true"),
            "mine\nls: /usr/bin/dockerd: No such file or directory\n");
  delete_web();
}

TEST_F(Disks, AHostThatIsFullIsAnErrorInsideAndASentenceOutside) {
  // A root that is no overlay: the disk is the container's and goes with it.
  const std::string small = scratch() + "/disks";
  fs::create_directories(small);
  ASSERT_EQ(::mount("small", small.c_str(), "tmpfs", 0, "size=24m"), 0);
  bundle_.spec.root->path = plain_root_;
  bundle_.store();
  const std::string log = scratch() + "/log";
  const Outcome created = agentvm({"--log", log, "create", "--bundle", bundle_.path(), "disked"});
  EXPECT_EQ(created.status, 0) << created.err;
  if (created.status == 0) {
    start("disked");
    EXPECT_THAT(read_file(log), HasSubstr("of 256 MiB: the host has "));
    // fsync tells; dd as such need not, since the guest holds what it writes for a while.
    EXPECT_THAT(in_web("dd if=/dev/urandom of=/var/lib/docker/big bs=1M count=60 conv=fsync 2>&1; "
                       "echo $?"),
                HasSubstr("error"));
    EXPECT_TRUE(eventually([&] {
      return read_file(log).find("container 'disked': the host's file system is full") !=
             std::string::npos;
    })) << read_file(log);
    EXPECT_EQ(in_web("echo alive > /alive; cat /alive"), "alive\n");
    delete_web();
  }
  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(small)) left.push_back(entry.path().filename());
  EXPECT_THAT(left, testing::ElementsAre("template-256.ext4"));
  ::umount(small.c_str());
}

TEST_F(Disks, AnImageWithoutADockerdAndAHostWithoutThePermissionAreRefused) {
  fs::remove(plain_root_ + "/usr/bin/dockerd");
  bundle_.spec.root->path = plain_root_;
  bundle_.store();
  const auto error = [this] {
    return agentvm({"create", "--bundle", bundle_.path(), "disked"}).err;
  };
  EXPECT_THAT(error(), HasSubstr("annotation 'io.agentvm.docker': the image has no dockerd"));
  configure("");
  EXPECT_THAT(error(), HasSubstr("annotation 'io.agentvm.disk_mib' is not allowed on this host"));
}

}  // namespace
}  // namespace agentvm::e2e
