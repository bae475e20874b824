// A container's root: mounts, devices, masks, and that nothing of it leads outside.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "tests/guest-agent/launch_container.h"

namespace agentvm::guest {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

namespace fs = std::filesystem;

TEST(LaunchRoot, ShowsTheContainersOwnTreeAndNothingElse) {
  LaunchContainer container;
  const Ran ran = container.run("ls / | sort | head -20; awk '{print $2}' /proc/mounts | sort");
  EXPECT_EQ(ran.error(), "");
  std::set<std::string> places{"/",        "/dev",  "/dev/mqueue", "/dev/pts",
                               "/dev/shm", "/proc", "/sys",        "/sys/fs/cgroup"};
  // Of those that are masked or read-only, what this kernel has.
  const oci::Linux& linux_part = *container.spec.linux_;
  for (const auto& list : {linux_part.masked_paths, linux_part.readonly_paths}) {
    for (const std::string& path : list) {
      if (fs::exists(path)) places.insert(path);
    }
  }
  std::string expected = "bin\ndev\netc\nproc\nsys\ntmp\nvar\n";
  for (const std::string& place : places) expected += place + "\n";
  EXPECT_EQ(ran.out, expected);
}

TEST(LaunchRoot, HasItsOwnNamespacesButTheGuestsNetwork) {
  LaunchContainer container;
  container.spec.domainname = "example";
  const Ran ran = container.run(
      "hostname; cat /proc/sys/kernel/domainname; ls /proc | grep -c '^[0-9]'; "
      "cat /proc/self/cgroup | grep '^0:'; readlink /proc/self/ns/net");
  EXPECT_THAT(ran.out, StartsWith("box\nexample\n"));
  EXPECT_THAT(ran.out, HasSubstr("0::/\n"));
  EXPECT_THAT(ran.out, HasSubstr(fs::read_symlink("/proc/self/ns/net").string()));
}

TEST(LaunchRoot, CanBeReadOnly) {
  LaunchContainer container;
  container.spec.root->readonly = true;
  container.spec.process->cwd = "/made/before";
  const Ran ran = container.run("touch /x; touch /tmp/x; touch /dev/shm/x && pwd");
  EXPECT_EQ(ran.out,
            "touch: /x: Read-only file system\ntouch: /tmp/x: Read-only file system\n"
            "/made/before\n");
}

TEST(LaunchRoot, MountsWithTheGivenFlags) {
  LaunchContainer container;
  container.add_mount("tmpfs", "t", "/new/deep",
                      {"nosuid", "nodev", "noexec", "ro", "size=1m", "mode=0711", "noatime"});
  const Ran ran = container.run("grep ' /new/deep ' /proc/mounts; touch /new/deep/x");
  EXPECT_THAT(ran.out, StartsWith("t /new/deep tmpfs ro,nosuid,nodev,noexec,noatime"));
  EXPECT_THAT(ran.out, HasSubstr("size=1024k,mode=711"));
  EXPECT_THAT(ran.out, HasSubstr("touch: /new/deep/x: Read-only file system"));
}

TEST(LaunchRoot, BindsFilesAndDirectories) {
  LaunchContainer container;
  fs::create_directories(container.directory() + "/shared/sub");
  container.write("/../file", "text");
  container.add_mount("bind", container.directory() + "/shared", "/data", {"rbind", "rw"});
  container.add_mount("bind", container.directory() + "/shared", "/fixed", {"rbind", "ro"});
  container.add_mount("bind", container.directory() + "/file", "/etc/deep/file", {"bind", "ro"});
  const Ran ran = container.run(
      "touch /data/sub/new; ls /fixed/sub; touch /fixed/x; cat /etc/deep/file; "
      "echo > /etc/deep/file");
  EXPECT_EQ(ran.out,
            "new\ntouch: /fixed/x: Read-only file system\ntextsh: can't create /etc/deep/file: "
            "Read-only file system\n");
}

TEST(LaunchRoot, MakesABindReadOnlyWithAllBelow) {
  LaunchContainer container;
  const std::string outer = container.directory() + "/outer";
  fs::create_directories(outer + "/inner");
  ASSERT_EQ(::mount("t", (outer + "/inner").c_str(), "tmpfs", 0, nullptr), 0);
  container.add_mount("bind", outer, "/ro", {"rbind", "ro"});
  container.add_mount("bind", outer, "/rro", {"rbind", "rro"});
  const Ran ran = container.run("touch /ro/inner/x && echo made; touch /rro/inner/y");
  EXPECT_EQ(::umount2((outer + "/inner").c_str(), MNT_DETACH), 0);
  EXPECT_EQ(ran.out, "made\ntouch: /rro/inner/y: Read-only file system\n");
}

TEST(LaunchRoot, SaysWhichMountFailedAndWhy) {
  const auto error_of = [](const oci::Mount& mount) {
    LaunchContainer container;
    container.spec.mounts.push_back(mount);
    return container.run("true").error();
  };
  EXPECT_EQ(error_of({"/x", "bind", "/nosource", {"bind"}, {}, {}}),
            "mount '/nosource' on '/x': open '/nosource': No such file or directory");
  EXPECT_EQ(error_of({"/x", "nofs", "n", {}, {}, {}}),
            "mount 'n' (nofs) on '/x': file system 'nofs': No such device");
  EXPECT_THAT(error_of({"/x", "tmpfs", "t", {"size=lots"}, {}, {}}),
              MatchesRegex("mount 't' \\(tmpfs\\) on '/x': option 'size=lots': .*size.*"));
  EXPECT_EQ(error_of({"/x", "", "t", {}, {}, {}}),
            "mount 't' () on '/x': neither a file system type nor a bind is given");
  EXPECT_EQ(error_of({"/bin/busybox", "tmpfs", "t", {}, {}, {}}),
            "mount 't' (tmpfs) on '/bin/busybox': mount: Not a directory");
}

TEST(LaunchRoot, CopiesTheImagesDirectoryIntoATmpfs) {
  LaunchContainer container;
  container.write("/seed/dir/file", "text", 0640);
  fs::create_symlink("dir/file", container.root() + "/seed/link");
  container.make_directory("/seed", 01775);
  ASSERT_EQ(::chown((container.root() + "/seed/dir/file").c_str(), 7, 8), 0);
  container.add_mount("tmpfs", "t", "/seed", {"tmpcopyup", "ro"});
  const Ran ran = container.run(
      "stat -c '%a' /seed; stat -c '%a %u %g' /seed/dir/file; cat /seed/link; readlink /seed/link;"
      "grep -c ' /seed tmpfs ro' /proc/mounts");
  EXPECT_EQ(ran.error(), "");
  EXPECT_EQ(ran.out, "1775\n640 7 8\ntextdir/file\n1\n");
}

TEST(LaunchRoot, MakesTheDefaultDevices) {
  LaunchContainer container;
  const Ran ran = container.run(
      "for n in null zero full random urandom tty; do stat -c '%n %a %t:%T %F' /dev/$n; done;"
      "for n in ptmx fd stdin stdout stderr; do readlink /dev/$n; done;"
      "echo x > /dev/null; head -c 2 /dev/zero | od -An -tx1");
  EXPECT_EQ(ran.out,
            "/dev/null 666 1:3 character special file\n/dev/zero 666 1:5 character special file\n"
            "/dev/full 666 1:7 character special file\n"
            "/dev/random 666 1:8 character special file\n"
            "/dev/urandom 666 1:9 character special file\n/dev/tty 666 5:0 character special file\n"
            "pts/ptmx\n/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n"
            " 00 00\n");
}

TEST(LaunchRoot, MakesTheDevicesOfTheSpec) {
  LaunchContainer container;
  auto& devices = container.spec.linux_->devices;
  devices = {{"c", "/dev/own/zero", 1, 5, 0640, 3, 4},
             {"p", "/dev/pipe", 0, 0, 0600, {}, {}},
             {"c", "/dev/null", 1, 3, 0600, {}, {}},
             {"c", "/opt/full", 1, 7, {}, {}, {}}};
  const Ran ran = container.run(
      "stat -c '%a %u %g %t:%T' /dev/own/zero; stat -c %F /dev/pipe; stat -c %a /dev/null;"
      "stat -c '%a %t:%T' /opt/full");
  EXPECT_EQ(ran.error(), "");
  EXPECT_EQ(ran.out, "640 3 4 1:5\nfifo\n600\n666 1:7\n");
  // Outside of a tmpfs a node is only bound: nothing of it stays on the host's disk.
  struct stat st{};
  ASSERT_EQ(::stat((container.root() + "/opt/full").c_str(), &st), 0);
  EXPECT_TRUE(S_ISREG(st.st_mode));
}

TEST(LaunchRoot, LeavesNoNodesInARootWithoutADevOfItsOwn) {
  LaunchContainer container;
  std::erase_if(container.spec.mounts,
                [](const auto& mount) { return mount.destination.starts_with("/dev"); });
  EXPECT_EQ(container.run("stat -c %t:%T /dev/null").out, "1:3\n");
  struct stat st{};
  ASSERT_EQ(::stat((container.root() + "/dev/null").c_str(), &st), 0);
  EXPECT_TRUE(S_ISREG(st.st_mode));
}

TEST(LaunchRoot, MasksFilesAndDirectories) {
  LaunchContainer container;
  container.write("/secret/file", "text");
  container.write("/private", "text");
  container.spec.linux_->masked_paths = {"/secret", "/private", "/not/there", "/private/below"};
  const Ran ran = container.run(
      "ls /secret | wc -l; touch /secret/x; cat /private; echo more > /private; umount /private; "
      "cat /private; stat -c %t:%T /private");
  EXPECT_EQ(ran.out,
            "0\ntouch: /secret/x: Read-only file system\numount: can't unmount /private: Operation "
            "not permitted\n1:3\n");
}

TEST(LaunchRoot, PutsNoDeviceWhereTheImageLeadsIntoProc) {
  LaunchContainer container;
  std::erase_if(container.spec.mounts,
                [](const auto& mount) { return mount.destination.starts_with("/dev"); });
  fs::create_symlink("/proc/version", container.root() + "/dev/null");
  EXPECT_EQ(container.run("true").error(),
            "device '/dev/null': \"/dev/null\" cannot be mounted because it is inside /proc");
}

TEST(LaunchRoot, MakesPathsReadOnly) {
  LaunchContainer container;
  container.write("/conf/file", "text");
  container.spec.linux_->readonly_paths = {"/proc/sys", "/conf", "/not/there"};
  const Ran ran =
      container.run("echo 1 > /proc/sys/net/ipv4/ip_forward; touch /conf/x; echo x > /conf/file");
  EXPECT_EQ(ran.out,
            "sh: can't create /proc/sys/net/ipv4/ip_forward: Read-only file system\n"
            "touch: /conf/x: Read-only file system\n"
            "sh: can't create /conf/file: Read-only file system\n");
}

TEST(LaunchRoot, WritesSysctlsBeforeTheyBecomeReadOnly) {
  LaunchContainer container;
  container.spec.linux_->sysctl = {{"kernel.shmmax", "123456"}, {"kernel/msgmnb", "4321"}};
  const Ran ran = container.run("cat /proc/sys/kernel/shmmax /proc/sys/kernel/msgmnb");
  EXPECT_EQ(ran.out, "123456\n4321\n");
  container.spec.linux_->sysctl = {{"kernel.nothing", "1"}};
  EXPECT_EQ(container.run("true").error(),
            "sysctl 'kernel.nothing': open '/proc/sys/kernel/nothing': No such file or directory");
  container.spec.linux_->sysctl = {{"../../self.oom_score_adj", "1"}};
  EXPECT_THAT(container.run("true").error(), StartsWith("sysctl '../../self.oom_score_adj': open"));
}

TEST(LaunchRoot, BindsItsCgroupWithoutACgroupNamespace) {
  LaunchContainer container;
  container.drop_namespace(oci::NamespaceType::cgroup);
  // Its own processes, of which init is the first, and none that it cannot see: those are 0.
  const Ran ran = container.run(
      "cat /sys/fs/cgroup/cgroup.procs > /tmp/procs; head -n 1 /tmp/procs; grep -c '^0$' "
      "/tmp/procs;"
      "mkdir /sys/fs/cgroup/x");
  EXPECT_EQ(ran.out,
            "1\n0\nmkdir: can't create directory '/sys/fs/cgroup/x': Read-only file system\n");
}

TEST(LaunchRoot, SetsTheTimeNamespacesOffsets) {
  LaunchContainer container;
  container.add_namespace(oci::NamespaceType::time);
  container.spec.linux_->time_offsets = {{"boottime", {1000000, 0}}, {"monotonic", {500, 0}}};
  const Ran ran = container.run("awk '{print ($1 > 1000000)}' /proc/uptime");
  EXPECT_EQ(ran.error(), "");
  EXPECT_EQ(ran.out, "1\n");
}

TEST(LaunchRoot, RunsWithoutAnyNamespaceOfTheSpec) {
  LaunchContainer container;
  container.spec.linux_->namespaces.clear();
  container.spec.hostname.clear();  // it would be this host's
  container.spec.linux_->masked_paths.clear();
  const Ran ran = container.run("ls /bin/busybox");
  EXPECT_EQ(ran.error(), "");
  EXPECT_EQ(ran.out, "/bin/busybox\n");
}

TEST(LaunchRoot, RunsInAUserNamespace) {
  LaunchContainer container;
  container.use_user_namespace();
  container.write("/file", "x");
  ASSERT_EQ(::chown((container.root() + "/file").c_str(), 101000, 101000), 0);
  fs::create_directories(container.directory() + "/closed/data");
  ASSERT_EQ(::chmod((container.directory() + "/closed").c_str(), 0700), 0);
  container.add_mount("bind", container.directory() + "/closed/data", "/data", {"bind"});
  container.spec.linux_->devices = {{"c", "/dev/own", 1, 5, 0666, {}, {}}};
  const Ran ran = container.run(
      "id -u; cat /proc/self/uid_map; stat -c '%u %g' /file; ls -d /data; echo x > /dev/null;"
      "head -c 1 /dev/own | od -An -tx1; grep -E '^CapEff' /proc/self/status; ls /sys | grep class;"
      "hostname");
  EXPECT_EQ(ran.error(), "");
  EXPECT_THAT(ran.out, MatchesRegex("0\n +0 +100000 +65536\n1000 1000\n/data\n 00\nCapEff:\t"
                                    "00000000a80425fb\nclass\nbox\n"));
}

TEST(LaunchRoot, HasATerminalInAUserNamespace) {
  LaunchContainer container;
  container.use_user_namespace();
  container.spec.process->terminal = true;
  const Ran ran = container.run("tty; echo seen > /dev/console");
  EXPECT_EQ(ran.error(), "");
  EXPECT_EQ(ran.out, "/dev/pts/0\r\nseen\r\n");
}

TEST(LaunchRoot, MapsTheIdsOfABind) {
  LaunchContainer container;
  fs::create_directories(container.directory() + "/volume");
  container.write("/../volume/file", "x");
  auto& mount =
      container.add_mount("bind", container.directory() + "/volume", "/volume", {"bind", "idmap"});
  mount.uid_mappings = {{0, 5000, 1000}};
  mount.gid_mappings = {{0, 6000, 1000}};
  const Ran ran = container.run("stat -c '%u %g' /volume/file");
  EXPECT_EQ(ran.error(), "");
  EXPECT_EQ(ran.out, "5000 6000\n");
}

// Places that are made or mounted on must stay inside whatever the image or the spec holds.

TEST(LaunchRoot, FollowsSymlinksInsideTheRootOnly) {
  LaunchContainer container;
  const std::string outside = container.directory() + "/outside";
  fs::create_directories(outside);
  fs::create_symlink(outside, container.root() + "/absolute");
  fs::create_symlink("../../../../../../../../" + outside, container.root() + "/relative");
  fs::create_symlink("/run/made", container.root() + "/var/dangling");
  container.add_mount("tmpfs", "t1", "/absolute/one", {});
  container.add_mount("tmpfs", "t2", "/relative/two", {});
  container.add_mount("tmpfs", "t3", "/../../../../../three", {});
  container.add_mount("tmpfs", "t4", "/var/dangling/four", {});
  container.add_mount("bind", "/dev/null", "/absolute/file", {"bind"});
  const Ran ran = container.run("grep -E '^t[0-9]' /proc/mounts | awk '{print $1, $2}'");
  EXPECT_EQ(ran.error(), "");
  EXPECT_EQ(ran.out,
            "t1 " + outside + "/one\nt2 " + outside + "/two\nt3 /three\nt4 /run/made/four\n");
  EXPECT_TRUE(fs::is_empty(outside));
  EXPECT_FALSE(container.exists("/three"));
}

TEST(LaunchRoot, EndsInAnErrorOnASymlinkLoop) {
  LaunchContainer container;
  fs::create_symlink("b", container.root() + "/a");
  fs::create_symlink("a", container.root() + "/b");
  container.add_mount("tmpfs", "t", "/a/x", {});
  EXPECT_THAT(container.run("true").error(), HasSubstr("Too many levels of symbolic links"));
}

TEST(LaunchRoot, RefusesAProcBehindASymlink) {
  LaunchContainer container;
  fs::remove_all(container.root() + "/proc");
  container.make_directory("/elsewhere");
  fs::create_symlink("/elsewhere", container.root() + "/proc");
  EXPECT_EQ(container.run("true").error(),
            "mount 'proc' (proc) on '/proc': filesystem \"proc\" must be mounted on ordinary "
            "directory");
}

TEST(LaunchRoot, RefusesToMountOverWhatIsInProc) {
  LaunchContainer container;
  fs::create_symlink("/proc/self", container.root() + "/link");
  container.add_mount("tmpfs", "t", "/proc/sys", {});
  EXPECT_EQ(container.run("true").error(),
            "mount 't' (tmpfs) on '/proc/sys': \"/proc/sys\" cannot be mounted because it is "
            "inside /proc");
  container.spec.mounts.back().destination = "/link/attr";
  EXPECT_THAT(container.run("true").error(), HasSubstr("inside /proc"));
  container.spec.mounts.back() = {"/proc/cpuinfo", "bind", "/dev/null", {"bind"}, {}, {}};
  EXPECT_EQ(container.run("true").error(), "");
}

TEST(LaunchRoot, RefusesAFalseProc) {
  LaunchContainer container;
  container.add_mount("tmpfs", "t", "/proc", {});
  EXPECT_EQ(container.run("true").error(),
            "mount 't' (tmpfs) on '/proc': \"/proc\" cannot be mounted because it is not of type "
            "proc");
}

TEST(LaunchRoot, LeadsNowhereThroughAWorkingDirectoryInProc) {
  LaunchContainer container;
  container.spec.process->cwd = "/proc/self/fd/7/../../..";
  const Ran ran = container.run("ls /work 2>/dev/null; pwd");
  EXPECT_THAT(ran.error() + ran.out, testing::AnyOf(HasSubstr("mkdir /proc"), HasSubstr("/")));
  EXPECT_THAT(ran.out, testing::Not(HasSubstr(container.directory())));
}

TEST(LaunchRoot, KeepsItsMountsToItself) {
  LaunchContainer container;
  container.spec.linux_->rootfs_propagation = "shared";
  container.add_mount("tmpfs", "t", "/shared", {"rshared"});
  const Ran ran = container.run("grep -c shared: /proc/self/mountinfo");
  EXPECT_EQ(ran.error(), "");
  EXPECT_EQ(ran.out, "2\n");
  // The container's destructor compares this host's mounts.
}

}  // namespace
}  // namespace agentvm::guest
