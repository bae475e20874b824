// VMs that become larger while their container runs. Run with VMs that were restored, that booted
// and that waited in the pool.
#include <signal.h>
#include <unistd.h>

#include <sstream>

#include "oci/base/json_reader.h"
#include "tests/e2e/harness/container.h"

namespace agentvm::e2e {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;

constexpr std::uint64_t kMib = 1024 * 1024;

class Growth : public Agentvm {
 protected:
  // A VM of 512 MiB and one vCPU, with a large tmpfs on /big.
  void run_sleeper() {
    bundle_.spec.mounts.push_back({"/big", "tmpfs", "tmpfs", {"size=2g"}, {}, {}});
    create("web", bundle_);
    start("web");
  }
  [[nodiscard]] std::string in_guest(const std::string& script) const {
    const Outcome outcome = agentvm({"exec", "web", "sh", "-c", script});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome.out;
  }
  void update(std::vector<std::string> options) const {
    options.insert(options.begin(), "update");
    options.emplace_back("web");
    const Outcome updated = agentvm(options);
    ASSERT_EQ(updated.status, 0) << updated.err;
  }
  [[nodiscard]] std::uint64_t recorded(const std::string& what) const {
    const auto state = JsonDocument::parse(agentvm({"state", "--verbose", "web"}).out);
    EXPECT_TRUE(state.has_value());
    return state ? state->root().find("vm")->find(what)->as_unsigned().value_or(0) : 0;
  }
  [[nodiscard]] std::uint64_t guest_memory_mib() const {
    std::istringstream line(in_guest("grep MemTotal /proc/meminfo"));
    std::string name;
    std::uint64_t kib = 0;
    line >> name >> kib;
    return kib / 1024;
  }

  Bundle bundle_{{"/bin/sleep", "1000"}};
};

// More than the VM had is written, so what is read and written through virtiofs and vsock
// afterwards lies in the new memory.
TEST_F(Growth, GivesMemoryThatIsReallyThere) {
  run_sleeper();
  const std::uint64_t before = guest_memory_mib();
  EXPECT_LT(before, 512U);
  update({"--memory", "900m"});
  EXPECT_EQ(recorded("memoryMiB"), 1028U);
  EXPECT_EQ(guest_memory_mib(), before + 516);
  EXPECT_EQ(in_guest("cat /sys/fs/cgroup/memory.max"), std::to_string(900 * kMib) + "\n");
  EXPECT_EQ(in_guest("dd if=/dev/zero of=/big/zeros bs=1M count=640 2> /dev/null; "
                     "yes 0123456789abcde | head -c 16m > /big/data; du -m /big | cut -f 1"),
            "656\n");
  const std::string sum = in_guest("cp /big/data /copy; sync; md5sum < /copy");
  EXPECT_EQ(run_command({"sh", "-c", "md5sum < " + bundle_.rootfs() + "/copy"}).out, sum);
  EXPECT_EQ(in_guest("md5sum < /copy"), sum);
  const Outcome streamed = agentvm({"exec", "web", "cat", "/big/data"});
  EXPECT_EQ(streamed.out.size(), 16 * kMib);
  EXPECT_THAT(streamed.out, EndsWith("\n0123456789abcde\n"));
}

TEST_F(Growth, GivesVcpus) {
  if (::sysconf(_SC_NPROCESSORS_ONLN) < 2) GTEST_SKIP() << "the host has one CPU";
  run_sleeper();
  EXPECT_EQ(in_guest("nproc"), "1\n");
  update({"--cpu-quota", "150000", "--cpu-period", "100000"});
  EXPECT_EQ(in_guest("nproc"), "2\n");
  EXPECT_EQ(in_guest("cat /sys/fs/cgroup/cpu.max"), "150000 100000\n");
  EXPECT_EQ(recorded("vcpus"), 2U);
  // They run, both at once.
  EXPECT_THAT(in_guest("for i in 1 2; do (j=0; while [ $j -lt 3000 ]; do j=$((j+1)); done) & done;"
                       " wait; grep -c ^processor /proc/cpuinfo"),
              HasSubstr("2"));
}

TEST_F(Growth, GoesOnAndIsNotTakenBack) {
  run_sleeper();
  const std::uint64_t before = guest_memory_mib();
  update({"--memory", "500m"});
  EXPECT_EQ(recorded("memoryMiB"), 628U);
  update({"--memory", "800m", "--cpu-quota", "200000", "--cpu-period", "100000"});
  EXPECT_EQ(recorded("memoryMiB"), 928U);
  EXPECT_EQ(guest_memory_mib(), before + 416);
  update({"--memory", "100m"});
  EXPECT_EQ(in_guest("cat /sys/fs/cgroup/memory.max"), std::to_string(100 * kMib) + "\n");
  EXPECT_EQ(recorded("memoryMiB"), 928U);
  EXPECT_EQ(guest_memory_mib(), before + 416);
  update({"--memory", "800m"});
  EXPECT_EQ(in_guest("cat /sys/fs/cgroup/memory.max"), std::to_string(800 * kMib) + "\n");
}

TEST_F(Growth, RaisesTheCeilingOfTheHostsCgroup) {
  bundle_.spec.linux_->cgroups_path = "/agentvm-e2e-growth";
  run_sleeper();
  update({"--memory", "600m"});
  std::string found;
  for (const char* file : {"/sys/fs/cgroup/memory/agentvm-e2e-growth/memory.limit_in_bytes",
                           "/sys/fs/cgroup/agentvm-e2e-growth/memory.max"}) {
    if (::access(file, F_OK) == 0) found += read_file(file);
  }
  EXPECT_EQ(found, std::to_string((600 + 128 + 512) * kMib) + "\n");
}

TEST_F(Growth, IsRefusedPastTheMost) {
  run_sleeper();
  const std::string most = std::to_string(recorded("maxMemoryMiB"));
  const Outcome refused = agentvm({"update", "--memory", "100t", "web"});
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(
      refused.err,
      HasSubstr("memory limit of 104857600 MiB is above the " + most +
                " MiB that the container's VM can grow to, as decided when it was created "
                "(vm.max_memory_mib in /etc/agentvm/config.toml, the host's memory): choose "
                "a lower limit, or create the container anew"));
  EXPECT_EQ(recorded("memoryMiB"), 512U);
  EXPECT_EQ(in_guest("echo runs"), "runs\n");
  // CPU time has no such bound: the quota is written, and the VM gets what vCPUs it can have.
  update({"--cpu-quota", "6400000", "--cpu-period", "100000"});
  EXPECT_EQ(in_guest("nproc"), std::to_string(recorded("maxVcpus")) + "\n");
}

TEST_F(Growth, KilledHalfWayLeavesNothing) {
  for (const int milliseconds : {30, 150}) {
    create("web", bundle_);
    start("web");
    const auto qemu = processes_of("web", "qemu-system");
    Background growing(command({"update", "--memory", "3g", "web"}));
    ::usleep(static_cast<useconds_t>(milliseconds) * 1000);
    for (const pid_t pid : qemu) ::kill(pid, SIGKILL);
    EXPECT_NE(growing.wait().status, 0);
    wait_for_status("web", "stopped");
    EXPECT_EQ(agentvm({"delete", "web"}).status, 0);
  }
}

TEST_F(Growth, OutlivesAnUpdateThatIsKilled) {
  run_sleeper();
  Background growing(command({"update", "--memory", "700m", "web"}));
  ::usleep(100'000);
  growing.send(SIGKILL);
  (void)growing.wait();
  update({"--memory", "700m"});
  EXPECT_EQ(recorded("memoryMiB"), 828U);
  EXPECT_EQ(in_guest("dd if=/dev/zero of=/big/zeros bs=1M count=560 2> /dev/null; echo $?"), "0\n");
}

}  // namespace
}  // namespace agentvm::e2e
