#include "tests/e2e/harness/debian13.h"

#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "tests/e2e/harness/container.h"

namespace agentvm::e2e {
namespace {

using testing::HasSubstr;

// On Debian 12 the host's is the one in C.
class RustVirtiofsd : public Agentvm {
 protected:
  void SetUp() override {
    Agentvm::SetUp();
    configure("virtiofsd = \"" + fetch_debian13("/usr/libexec/virtiofsd", "virtiofsd") + "\"");
  }
};

TEST_F(RustVirtiofsd, SharesFilesBothWaysWithTheirOwners) {
  const std::string shared = scratch() + "/shared";
  std::filesystem::create_directory(shared);
  write_file(shared + "/from-host", "host\n");
  ASSERT_EQ(::chown((shared + "/from-host").c_str(), 1234, 5678), 0);
  Bundle bundle(
      Bundle::shell("cat /data/from-host; stat -c '%u:%g' /data/from-host; "
                    "echo guest > /data/from-guest; chmod 640 /data/from-guest; exit 5"));
  bundle.spec.mounts.push_back({"/data", "bind", shared, {"rbind", "rw"}, {}, {}});
  const Outcome outcome = run(bundle);
  EXPECT_EQ(outcome.status, 5) << outcome.err;
  EXPECT_EQ(outcome.out, "host\n1234:5678\n");
  EXPECT_EQ(read_file(shared + "/from-guest"), "guest\n");
  struct stat status{};
  ASSERT_EQ(::stat((shared + "/from-guest").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0640U);
}

// It is told of the new memory while it serves.
TEST_F(RustVirtiofsd, ServesAVmThatHasGrown) {
  Bundle bundle({"/bin/sleep", "1000"});
  bundle.spec.mounts.push_back({"/big", "tmpfs", "tmpfs", {"size=1g"}, {}, {}});
  create("web", bundle);
  start("web");
  const Outcome grown = agentvm({"update", "--memory", "800m", "web"});
  ASSERT_EQ(grown.status, 0) << grown.err;
  const Outcome copied = agentvm({"exec", "web", "sh", "-c",
                                  "dd if=/dev/zero of=/big/zeros bs=1M count=560 2> /dev/null && "
                                  "yes 0123456789abcde | head -c 16m > /big/data && "
                                  "cp /big/data /copy && sync && md5sum < /copy"});
  EXPECT_EQ(copied.status, 0) << copied.err;
  EXPECT_EQ(run_command({"sh", "-c", "md5sum < " + bundle.rootfs() + "/copy"}).out, copied.out);
}

TEST_F(RustVirtiofsd, KilledItTakesTheVmAlong) {
  const Bundle bundle({"/bin/sleep", "1000"});
  create("web", bundle);
  start("web");
  const auto pids = processes_of("web", "virtiofsd");
  ASSERT_FALSE(pids.empty());
  for (const pid_t pid : pids) ::kill(pid, SIGKILL);
  wait_for_status("web", "stopped");
  EXPECT_EQ(agentvm({"delete", "web"}).status, 0);
}

// QEMU 10; on Debian 12 the host's is 7.2.
class NewerQemu : public Agentvm {
 protected:
  void SetUp() override {
    Agentvm::SetUp();
    const std::string qemu = fetch_debian13("/usr/bin/qemu-system-x86_64", "qemu-system-x86");
    EXPECT_THAT(run_command({qemu, "--version"}).out, HasSubstr("version 10."));
    configure("qemu = \"" + qemu + "\"",
              "automatic = false\ndirectory = \"" + scratch() + "/templates\"\n", "", 1);
  }
  void expect_run(const std::string& step) const {
    const Outcome outcome = run_timed(Bundle(Bundle::shell("echo out; exit 3")));
    EXPECT_EQ(outcome.status, 3) << outcome.err;
    EXPECT_EQ(outcome.out, "out\n");
    EXPECT_THAT(outcome.err, HasSubstr(step));
  }
};

TEST_F(NewerQemu, BootsRestoresAndWaits) {
  expect_run("QEMU answers");
  const Outcome made = agentvm({"template", "create"});
  EXPECT_EQ(made.status, 0) << made.err;
  expect_run(kRestored);
  const Outcome filled = agentvm({"pool", "fill"});
  EXPECT_EQ(filled.status, 0) << filled.err;
  expect_run(kClaimed);
}

TEST_F(NewerQemu, Grows) {
  const Bundle bundle({"/bin/sleep", "1000"});
  create("web", bundle);
  start("web");
  const Outcome grown = agentvm(
      {"update", "--memory", "800m", "--cpu-quota", "200000", "--cpu-period", "100000", "web"});
  ASSERT_EQ(grown.status, 0) << grown.err;
  const std::string cpus = std::to_string(std::min(2L, ::sysconf(_SC_NPROCESSORS_ONLN)));
  EXPECT_EQ(agentvm({"exec", "web", "sh", "-c",
                     "nproc; test $(grep MemTotal /proc/meminfo | tr -dc 0-9) -gt 819200; echo $?"})
                .out,
            cpus + "\n0\n");
}

}  // namespace
}  // namespace agentvm::e2e
