#include <sys/stat.h>

#include <filesystem>

#include "tests/e2e/harness/container.h"

namespace agentvm::e2e {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// config.json as seen from inside the container.
class SpecInGuest : public Agentvm {
 protected:
  // Runs the bundle and gives what it printed; the script should exit 0.
  [[nodiscard]] std::string output_of(const Bundle& bundle) const {
    const Outcome outcome = run(bundle);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome.out;
  }
};

TEST_F(SpecInGuest, TheProcessIsWhatWasAskedFor) {
  Bundle bundle(
      Bundle::shell("id; umask; pwd; echo $A-$B; ulimit -n; ulimit -Hn; "
                    "cat /proc/self/status /proc/self/oom_score_adj; "
                    "cut -d' ' -f19 /proc/self/stat; "
                    "ionice -p $$; uname -m"));
  auto& process = *bundle.spec.process;
  process.user = {1000, 1000, 027, {5, 6}};
  process.cwd = "/work/dir";
  process.env = {"PATH=/bin", "A=one", "B=two"};
  process.rlimits = {{"RLIMIT_NOFILE", 2048, 512}};
  process.no_new_privileges = true;
  process.oom_score_adj = 321;
  process.io_priority = oci::IoPriority{"IOPRIO_CLASS_BE", 6};
  process.scheduler.emplace();
  process.scheduler->policy = "SCHED_OTHER";
  process.scheduler->nice = 5;
  process.capabilities = oci::Capabilities{
      {"CAP_NET_BIND_SERVICE", "CAP_KILL"}, {}, {"CAP_KILL"}, {"CAP_KILL"}, {"CAP_KILL"}};
  const std::string out = output_of(bundle);
  EXPECT_THAT(out, HasSubstr("uid=1000(agent) gid=1000(agent) groups=5,6"));
  EXPECT_THAT(out, HasSubstr("\n0027\n/work/dir\none-two\n512\n2048\n"));
  EXPECT_THAT(out, HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(out, HasSubstr("CapBnd:\t0000000000000420"));
  EXPECT_THAT(out, HasSubstr("CapInh:\t0000000000000020"));
  EXPECT_THAT(out, HasSubstr("CapPrm:\t0000000000000020"));
  EXPECT_THAT(out, HasSubstr("CapAmb:\t0000000000000020"));
  EXPECT_THAT(out, HasSubstr("\n321\n5\nbest-effort: prio 6\n"));
}

TEST_F(SpecInGuest, NamesAndSysctlsAreTheContainers) {
  Bundle bundle(
      Bundle::shell("hostname; cat /proc/sys/kernel/domainname "
                    "/proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shm_rmid_forced"));
  bundle.spec.hostname = "my-host";
  bundle.spec.domainname = "example.org";
  bundle.spec.linux_->sysctl = {{"net.ipv4.ip_forward", "1"}, {"kernel.shm_rmid_forced", "1"}};
  EXPECT_EQ(output_of(bundle), "my-host\nexample.org\n1\n1\n");
}

TEST_F(SpecInGuest, AReadOnlyRootRefusesWrites) {
  Bundle bundle(Bundle::shell("touch /x 2>&1 && echo wrote; touch /tmpfs/x && echo tmpfs"));
  bundle.spec.root->readonly = true;
  bundle.spec.mounts.push_back({"/tmpfs", "tmpfs", "tmpfs", {"size=1m"}, {}, {}});
  EXPECT_THAT(output_of(bundle), AllOf(HasSubstr("Read-only file system"), Not(HasSubstr("wrote")),
                                       HasSubstr("tmpfs")));
  EXPECT_FALSE(fs::exists(bundle.rootfs() + "/x"));
}

TEST_F(SpecInGuest, MountsOfEveryTypeAreThere) {
  Bundle bundle(
      Bundle::shell("cat /proc/self/mounts; ls -ld /dev/shm; ls /sys/fs/cgroup; "
                    "echo x > /dev/null && echo null; ls -l /dev/fd /dev/ptmx"));
  const std::string out = output_of(bundle);
  EXPECT_THAT(out, HasSubstr("proc /proc proc "));
  EXPECT_THAT(out, HasSubstr("tmpfs /dev tmpfs "));
  EXPECT_THAT(out, HasSubstr("devpts /dev/pts devpts "));
  EXPECT_THAT(out, HasSubstr(" /dev/shm tmpfs "));
  EXPECT_THAT(out, HasSubstr("mqueue /dev/mqueue mqueue "));
  EXPECT_THAT(out, HasSubstr("sysfs /sys sysfs ro"));
  EXPECT_THAT(out, HasSubstr("cgroup.procs"));
  EXPECT_THAT(out, HasSubstr(" / virtiofs "));
  EXPECT_THAT(out, HasSubstr("\nnull\n"));
}

TEST_F(SpecInGuest, BindsShareTheHostsFilesBothWays) {
  const std::string shared = scratch() + "/shared";
  fs::create_directories(shared + "/sub");
  write_file(shared + "/from-host", "host\n");
  write_file(scratch() + "/single", "single file\n");
  ASSERT_EQ(::chown((shared + "/from-host").c_str(), 1234, 5678), 0);
  Bundle bundle(
      Bundle::shell("cat /data/from-host /single; stat -c '%u:%g' /data/from-host; "
                    "echo guest > /data/sub/from-guest; chown 77:88 /data/sub/from-guest; "
                    "touch /ro/x 2>&1; echo more >> /single"));
  for (auto* set : {&bundle.spec.process->capabilities->bounding,
                    &bundle.spec.process->capabilities->effective,
                    &bundle.spec.process->capabilities->permitted}) {
    set->push_back("CAP_CHOWN");
  }
  bundle.spec.mounts.push_back({"/data", "bind", shared, {"rbind", "rw"}, {}, {}});
  bundle.spec.mounts.push_back({"/ro", "bind", shared, {"rbind", "ro"}, {}, {}});
  bundle.spec.mounts.push_back({"/single", "", scratch() + "/single", {"bind"}, {}, {}});
  const std::string out = output_of(bundle);
  EXPECT_THAT(out, HasSubstr("host\nsingle file\n1234:5678\n"));
  EXPECT_THAT(out, HasSubstr("Read-only file system"));
  EXPECT_EQ(read_file(shared + "/sub/from-guest"), "guest\n");
  struct stat status{};
  ASSERT_EQ(::stat((shared + "/sub/from-guest").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 77U);
  EXPECT_EQ(status.st_gid, 88U);
  EXPECT_EQ(read_file(scratch() + "/single"), "single file\nmore\n");
  EXPECT_FALSE(fs::exists(shared + "/x"));
}

// docs/decisions/0002-file-cache.md
TEST_F(SpecInGuest, WhatTheHostChangesIsSeenInTheGuest) {
  const std::string shared = scratch() + "/shared";
  fs::create_directories(shared);
  write_file(shared + "/file", "first\n");
  Bundle bundle({"/bin/sleep", "1000"});
  bundle.spec.mounts.push_back({"/data", "bind", shared, {"rbind", "rw"}, {}, {}});
  create("web", bundle);
  start("web");
  const auto guest = [&](const std::string& script) {
    return agentvm({"exec", "web", "sh", "-c", script}).out;
  };
  EXPECT_EQ(guest("cat /data/file"), "first\n");
  write_file(shared + "/file", "other\n");  // as long as before
  write_file(shared + "/new", "new\n");
  EXPECT_EQ(guest("cat /data/new"), "new\n") << "a new name shows at once";
  EXPECT_TRUE(eventually([&] { return guest("cat /data/file") == "other\n"; }));
  EXPECT_EQ(guest("echo mine > /data/file; cat /data/file"), "mine\n") << "its own writes at once";
  EXPECT_EQ(read_file(shared + "/file"), "mine\n");
  fs::remove(shared + "/file");
  EXPECT_TRUE(eventually([&] { return guest("cat /data/file || echo gone") == "gone\n"; }));
}

TEST_F(SpecInGuest, NothingOfTheHostButTheBundleIsInSight) {
  const std::string secret = scratch() + "/secret";
  write_file(secret, "secret");
  fs::create_directories(scratch() + "/data");
  fs::create_symlink(secret, scratch() + "/data/link");
  fs::create_symlink("../../../../../../.." + secret, scratch() + "/data/climb");
  Bundle bundle(Bundle::shell("cat /data/link; cat /data/climb; ls " + scratch() + "; true"));
  bundle.spec.mounts.push_back({"/data", "bind", scratch() + "/data", {"rbind"}, {}, {}});
  EXPECT_THAT(run(bundle).out, Not(HasSubstr("secret")));
}

TEST_F(SpecInGuest, MaskedAndReadOnlyPathsHold) {
  Bundle bundle(
      Bundle::shell("cat /etc/secret; ls /masked; touch /frozen/x 2>&1; "
                    "echo 1 > /proc/sys/vm/drop_caches"));
  bundle.add_file("etc/secret", "hidden");
  bundle.add_file("masked/file", "hidden");
  bundle.add_file("frozen/file", "seen");
  bundle.spec.linux_->masked_paths = {"/etc/secret", "/masked", "/no/such/path"};
  bundle.spec.linux_->readonly_paths = {"/frozen", "/proc/sys"};
  const Outcome outcome = run(bundle);
  EXPECT_THAT(outcome.out, AllOf(Not(HasSubstr("hidden")), Not(HasSubstr("file\n")),
                                 HasSubstr("Read-only file system")));
  EXPECT_NE(outcome.status, 0);
}

TEST_F(SpecInGuest, SeccompFiltersInTheGuest) {
  Bundle bundle(Bundle::shell("mkdir /dir 2>&1; echo after; chmod 600 /etc/passwd 2>&1"));
  bundle.spec.linux_->seccomp.emplace();
  auto& seccomp = *bundle.spec.linux_->seccomp;
  seccomp.default_action = "SCMP_ACT_ALLOW";
  seccomp.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"};
  seccomp.syscalls = {{{"mkdir", "mkdirat"}, "SCMP_ACT_ERRNO", 38, {}},
                      {{"chmod", "fchmodat", "fchmod"}, "SCMP_ACT_ERRNO", std::nullopt, {}}};
  const Outcome outcome = run(bundle);
  EXPECT_THAT(outcome.out, HasSubstr("Function not implemented"));
  EXPECT_THAT(outcome.out, HasSubstr("after"));
  EXPECT_THAT(outcome.out, HasSubstr("Operation not permitted"));
}

TEST_F(SpecInGuest, NamespacesAreTheContainersOwn) {
  Bundle bundle(
      Bundle::shell("echo $$; for n in pid mnt ipc uts cgroup; do readlink "
                    "/proc/self/ns/$n; done; cat /proc/self/cgroup; ps"));
  const std::string out = output_of(bundle);
  EXPECT_TRUE(out.starts_with("1\n")) << out;
  EXPECT_THAT(out, HasSubstr("0::/\n"));
  EXPECT_THAT(out, Not(HasSubstr("agentvm")));
}

TEST_F(SpecInGuest, AUserNamespaceMapsIds) {
  Bundle bundle(Bundle::shell("cat /proc/self/uid_map; id -u; touch /made; stat -c %u /made"));
  bundle.spec.linux_->namespaces.push_back({oci::NamespaceType::user, ""});
  bundle.spec.linux_->uid_mappings = {{0, 100000, 65536}};
  bundle.spec.linux_->gid_mappings = {{0, 100000, 65536}};
  ASSERT_EQ(run_command({"chown", "-R", "100000:100000", bundle.rootfs()}).status, 0);
  const std::string out = output_of(bundle);
  EXPECT_THAT(out, HasSubstr("100000      65536"));
  EXPECT_THAT(out, HasSubstr("\n0\n0\n"));
  struct stat status{};
  ASSERT_EQ(::stat((bundle.rootfs() + "/made").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 100000U);
}

TEST_F(SpecInGuest, DevicesAreMadeAsAskedAndOthersDenied) {
  Bundle bundle(
      Bundle::shell("stat -c '%F %t:%T %a %u' /dev/mine; dd if=/dev/mine bs=4 count=1 "
                    "2>/dev/null | wc -c; mknod /sda b 8 0 && cat /sda"));
  bundle.spec.linux_->devices.push_back({"c", "/dev/mine", 1, 5, 0624, 12, 34});
  bundle.spec.linux_->resources->devices.push_back({true, "c", 1, 5, "rw"});
  bundle.spec.process->capabilities->bounding.push_back("CAP_MKNOD");
  bundle.spec.process->capabilities->effective.push_back("CAP_MKNOD");
  bundle.spec.process->capabilities->permitted.push_back("CAP_MKNOD");
  const Outcome outcome = run(bundle);
  EXPECT_THAT(outcome.out, HasSubstr("character special file 1:5 624 12\n4\n"));
  EXPECT_THAT(outcome.err, HasSubstr("Operation not permitted"));
}

TEST_F(SpecInGuest, TheClockIsRightAndTwoVmsDrawDifferentRandomness) {
  const Bundle bundle(
      Bundle::shell("date +%s; head -c 16 /dev/urandom | od -An -tx1; "
                    "cat /proc/sys/kernel/random/boot_id"));
  const std::string first = output_of(bundle);
  const std::string second = output_of(bundle);
  EXPECT_NEAR(std::stod(first), static_cast<double>(std::time(nullptr)), 30);
  EXPECT_NE(first.substr(first.find('\n')), second.substr(second.find('\n')));
}

}  // namespace
}  // namespace agentvm::e2e
