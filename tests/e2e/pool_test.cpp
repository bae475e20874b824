// VMs that wait: claimed by creates, replaced beside them, ended by command; and the deaths of
// whoever takes part.
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <filesystem>
#include <sstream>

#include "tests/e2e/harness/container.h"

namespace agentvm::e2e {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class Pool : public Agentvm {
 protected:
  void SetUp() override {
    Agentvm::SetUp();
    use_pool(1);
  }

  void use_pool(int size, const std::string& vm = "") const { configure(vm, "", "", size); }

  void fill() const {
    const Outcome filled = agentvm({"pool", "fill"});
    ASSERT_EQ(filled.status, 0) << filled.err;
  }

  [[nodiscard]] std::vector<PoolVm> with_status(const std::string& status) const {
    auto vms = pool_vms();
    std::erase_if(vms, [&](const PoolVm& vm) { return vm.status != status; });
    return vms;
  }
  void await_refill() const {
    EXPECT_TRUE(
        eventually([this] { return with_status("waits").size() == 1; }, std::chrono::seconds(60)));
  }

  // By the start of their name, in exactly the cgroups of the container's stand-in.
  [[nodiscard]] std::vector<pid_t> in_cgroup_of(const std::string& id,
                                                const std::string& name) const {
    const std::string wanted = read_file("/proc/" + std::to_string(stand_in(id)) + "/cgroup");
    std::vector<pid_t> found;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const std::string pid = entry.path().filename();
      if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
      if (read_file(entry.path() / "comm").starts_with(name) &&
          read_file(entry.path() / "cgroup") == wanted) {
        found.push_back(std::stoi(pid));
      }
    }
    return found;
  }
};

TEST_F(Pool, GivesAWaitingVmToTheNextContainerAndIsRefilled) {
  fill();
  EXPECT_THAT(with_status("waits"), SizeIs(1));
  EXPECT_THAT(agentvm({"check"}).out, HasSubstr("1 of 1 wait in " + pool()));
  const std::string first = with_status("waits").front().id;
  Bundle bundle(Bundle::shell("echo out; echo err >&2; cat /etc/hello; hostname; exit 3"));
  bundle.add_file("/etc/hello", "from the bundle\n");
  bundle.spec.hostname = "web";
  const Outcome outcome = run_timed(bundle);
  EXPECT_EQ(outcome.status, 3) << outcome.err;
  EXPECT_EQ(outcome.out, "out\nfrom the bundle\nweb\n");
  EXPECT_THAT(outcome.err,
              AllOf(HasSubstr("err\n"), HasSubstr(kClaimed), Not(HasSubstr(kRestored))));
  await_refill();
  EXPECT_NE(with_status("waits").front().id, first);
}

TEST_F(Pool, IsFilledByTheFirstContainerThatFindsItEmpty) {
  EXPECT_THAT(run_timed(Bundle({"/bin/true"})).err, HasSubstr(kRestored));
  await_refill();
  EXPECT_THAT(run_timed(Bundle({"/bin/true"})).err, HasSubstr(kClaimed));
}

TEST_F(Pool, ServesAContainersWholeLife) {
  fill();
  Bundle bundle(Bundle::shell("touch /made; while sleep 1; do :; done"));
  bundle.spec.process->oom_score_adj = 321;
  create("web", bundle);
  EXPECT_THAT(with_status("taken"), SizeIs(1));
  start("web");
  CommandOptions input;
  input.input = "through\n";
  EXPECT_EQ(agentvm({"exec", "web", "sh", "-c", "echo in; cat"}, input).out, "in\nthrough\n");
  EXPECT_EQ(agentvm({"pause", "web"}).status, 0);
  EXPECT_EQ(status("web"), "paused");
  EXPECT_EQ(agentvm({"resume", "web"}).status, 0);
  EXPECT_EQ(agentvm({"update", "--memory", "64m", "web"}).status, 0);
  EXPECT_THAT(agentvm({"ps", "web"}).out, HasSubstr("sleep 1"));
  // All of the VM is in the container's cgroup.
  EXPECT_THAT(in_cgroup_of("web", "qemu-system"), SizeIs(1));
  EXPECT_THAT(in_cgroup_of("web", "agentvm-vsock"), SizeIs(1));
  EXPECT_THAT(in_cgroup_of("web", "virtiofsd"), SizeIs(2));
  EXPECT_THAT(in_cgroup_of("web", "agentvm"), SizeIs(3)) << "stand-in, holder, vsock backend";
  for (const char* name : {"agentvm", "qemu-system", "virtiofsd"}) {
    for (const pid_t pid : in_cgroup_of("web", name)) EXPECT_EQ(oom_score_of(pid), "321\n") << name;
  }
  EXPECT_TRUE(eventually([&] { return fs::exists(bundle.rootfs() + "/made"); }));
  EXPECT_EQ(agentvm({"kill", "web", "KILL"}).status, 0);
  wait_for_status("web", "stopped");
  EXPECT_EQ(agentvm({"delete", "web"}).status, 0);
  EXPECT_THAT(with_status("taken"), IsEmpty());
}

TEST_F(Pool, SharesOfVolumesAndTheirMountsReachTheContainer) {
  fill();
  Bundle bundle(Bundle::shell("cat /data/file; echo new > /data/other; echo x > /ro/x || echo no"));
  const std::string data = scratch() + "/data";
  fs::create_directory(data);
  write_file(data + "/file", "shared\n");
  for (const char* place : {"/data", "/ro"}) {
    oci::Mount mount;
    mount.destination = place;
    mount.type = "bind";
    mount.source = data;
    mount.options = {"rbind"};
    if (std::string(place) == "/ro") mount.options.push_back("ro");
    bundle.spec.mounts.push_back(mount);
  }
  const Outcome outcome = run_timed(bundle);
  EXPECT_THAT(outcome.err, HasSubstr(kClaimed));
  EXPECT_EQ(outcome.out, "shared\nno\n");
  EXPECT_EQ(read_file(data + "/other"), "new\n");
}

// Nothing of the practice, and nothing of another VM of the same template.
TEST_F(Pool, GivesEveryContainerAFreshGuest) {
  use_pool(2);
  fill();
  const Bundle bundle(
      Bundle::shell("head -c 32 /dev/urandom | md5sum; cat /proc/sys/kernel/random/boot_id "
                    "/proc/sys/kernel/random/uuid; date +%s; ls /; mount | grep -c virtiofs; "
                    "find /sys/fs/cgroup -type d | wc -l"));
  std::set<std::string> seen;
  std::vector<std::string> rest;
  for (const char* id : {"one", "other"}) {
    const Outcome outcome = run_timed(bundle, id);
    ASSERT_THAT(outcome.err, HasSubstr(kClaimed));
    std::istringstream lines(outcome.out);
    std::string line;
    for (int i = 0; i < 3 && std::getline(lines, line); ++i) {
      EXPECT_TRUE(seen.insert(line).second) << line;
    }
    std::getline(lines, line);
    EXPECT_NEAR(std::stod(line), static_cast<double>(std::time(nullptr)), 3);
    std::string others;
    while (std::getline(lines, line)) others += line + "\n";
    rest.push_back(others);
  }
  EXPECT_EQ(rest.front(), rest.back());
  use_pool(0);
  bundle.store();
  const Outcome restored = agentvm({"run", "--bundle", bundle.path(), "third"});
  EXPECT_TRUE(restored.out.ends_with(rest.front())) << restored.out << "\n" << rest.front();
}

TEST_F(Pool, OfOtherSizesAndKernelsIsPassedOver) {
  fill();
  Bundle bundle({"/bin/true"});
  bundle.spec.linux_->resources->memory.emplace();
  bundle.spec.linux_->resources->memory->limit = 256 << 20;
  const Outcome larger = run_timed(bundle);
  EXPECT_EQ(larger.status, 0) << larger.err;
  EXPECT_THAT(larger.err, Not(HasSubstr(kClaimed)));
  use_pool(1, "kernel_parameters = \"agentvm.test\"");
  const Outcome other = run_timed(Bundle({"/bin/true"}));
  EXPECT_EQ(other.status, 0) << other.err;
  EXPECT_THAT(other.err, Not(HasSubstr(kClaimed)));
}

TEST_F(Pool, EndsVmsThatNobodyCanTakeAnyMoreWhenItIsFilled) {
  fill();
  const std::string old = with_status("waits").front().id;
  // As an upgrade of virtiofsd would.
  const std::string daemon = scratch() + "/virtiofsd";
  for (const char* place : {"/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"}) {
    if (fs::exists(place)) {
      fs::copy_file(place, daemon, fs::copy_options::overwrite_existing);
    }
  }
  use_pool(1, "virtiofsd = \"" + daemon + "\"");
  fill();
  ASSERT_THAT(pool_vms(), SizeIs(1));
  EXPECT_NE(pool_vms().front().id, old);
  EXPECT_THAT(run_timed(Bundle({"/bin/true"})).err, HasSubstr(kClaimed));
}

TEST_F(Pool, GivesOneVmToOneOfManyAtOnce) {
  use_pool(2);
  fill();
  std::vector<std::unique_ptr<Bundle>> bundles;
  std::vector<std::unique_ptr<Background>> runs;
  for (int i = 0; i < 5; ++i) {
    bundles.push_back(std::make_unique<Bundle>(Bundle::shell("echo runs")));
    bundles.back()->store();
    runs.push_back(std::make_unique<Background>(command(
        {"run", "--timings", "--bundle", bundles.back()->path(), "web" + std::to_string(i)})));
  }
  int claimed = 0;
  for (const auto& run : runs) {
    const Outcome outcome = run->wait();
    EXPECT_EQ(outcome.out, "runs\n") << outcome.err;
    if (outcome.err.contains(kClaimed)) ++claimed;
  }
  EXPECT_GE(claimed, 2);
}

TEST_F(Pool, WhoseHolderWasKilledIsSweptAndLosesNothingElse) {
  fill();
  ASSERT_EQ(::kill(with_status("waits").front().holder, SIGKILL), 0);
  EXPECT_TRUE(eventually([this] { return with_status("dead").size() == 1; }));
  const Outcome outcome = run_timed(Bundle(Bundle::shell("echo runs")));
  EXPECT_EQ(outcome.out, "runs\n") << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr(kRestored));
  await_refill();
  EXPECT_THAT(pool_vms(), SizeIs(1));
}

TEST_F(Pool, WhoseHolderDiesTakesItsContainerAlong) {
  fill();
  create("web", Bundle(Bundle::shell("sleep 1000")));
  start("web");
  ASSERT_THAT(with_status("taken"), SizeIs(1));
  ASSERT_EQ(::kill(with_status("taken").front().holder, SIGKILL), 0);
  wait_for_status("web", "stopped");
  EXPECT_EQ(agentvm({"delete", "web"}).status, 0);
}

TEST_F(Pool, VmsOfContainersWhoseStandInDiesGoToo) {
  fill();
  create("web", Bundle(Bundle::shell("sleep 1000")));
  start("web");
  await_refill();
  ASSERT_EQ(::kill(stand_in("web"), SIGKILL), 0);
  EXPECT_TRUE(eventually([this] { return with_status("dead").size() == 1; }));
  EXPECT_EQ(agentvm({"delete", "--force", "web"}).status, 0);
  EXPECT_THAT(with_status("dead"), IsEmpty());
  EXPECT_THAT(pool_vms(), SizeIs(1)) << "the one that replaced it";
}

TEST_F(Pool, QemuThatDiesIsToldWithItsLastWords) {
  fill();
  const std::string log = scratch() + "/log";
  Bundle bundle(Bundle::shell("sleep 1000"));
  bundle.store();
  ASSERT_EQ(agentvm({"--log", log, "create", "--bundle", bundle.path(), "web"}).status, 0);
  start("web");
  for (const pid_t pid : in_cgroup_of("web", "qemu-system")) ::kill(pid, SIGKILL);
  wait_for_status("web", "stopped");
  EXPECT_THAT(read_file(log), HasSubstr("the VM ended: qemu was killed by signal 9"));
  EXPECT_EQ(agentvm({"delete", "web"}).status, 0);
}

TEST_F(Pool, WhoseFillerWasKilledIsFilledByTheNext) {
  Background filler(command({"pool", "fill"}));
  EXPECT_TRUE(eventually([this] { return !pool_vms().empty(); }));
  filler.send(SIGKILL);
  EXPECT_EQ(filler.wait().status, 128 + SIGKILL);
  fill();
  EXPECT_TRUE(eventually([this] { return pool_vms().size() == 1; }));
  EXPECT_THAT(with_status("waits"), SizeIs(1));
}

// Said by the next container, and told on until somebody mends it.
TEST_F(Pool, ThatCannotBeFilledSaysWhy) {
  fs::create_directory(pool());
  ASSERT_EQ(::mount("small", pool().c_str(), "tmpfs", 0, "size=64k,nr_inodes=6,mode=0700"), 0);
  const Bundle bundle({"/bin/true"});
  EXPECT_EQ(run_timed(bundle).status, 0);
  EXPECT_TRUE(eventually([this] { return fs::exists(pool() + "/.failed"); }));
  const Outcome outcome = run_timed(bundle);
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.err,
              AllOf(HasSubstr("the pool is not refilled"), HasSubstr("No space left on device")));
  EXPECT_THAT(agentvm({"check"}).out, HasSubstr("it could not be filled"));
  ASSERT_EQ(::umount(pool().c_str()), 0);
  fill();
  EXPECT_THAT(run_timed(bundle).err, HasSubstr(kClaimed));
}

// The first container boots while its template is built; nothing has failed.
TEST_F(Pool, IsFilledOnceThereIsATemplate) {
  configure("", "directory = \"" + scratch() + "/templates\"\n", "", 1);
  const Bundle bundle({"/bin/true"});
  EXPECT_EQ(run_timed(bundle).status, 0);
  EXPECT_TRUE(eventually([this] { return agentvm({"template", "ls"}).out.contains("good"); },
                         std::chrono::seconds(60)));
  EXPECT_EQ(run_timed(bundle).status, 0);
  await_refill();
  EXPECT_THAT(run_timed(bundle).err, HasSubstr(kClaimed));
}

TEST_F(Pool, ThatOthersMayWriteIsNotUsed) {
  fill();
  ASSERT_EQ(::chmod(pool().c_str(), 0777), 0);
  const Outcome outcome = run_timed(Bundle(Bundle::shell("echo runs")));
  EXPECT_EQ(outcome.out, "runs\n") << outcome.err;
  EXPECT_THAT(outcome.err,
              AllOf(HasSubstr("no VM of the pool can be used"), Not(HasSubstr(kClaimed))));
  ASSERT_EQ(::chmod(pool().c_str(), 0700), 0);
}

TEST_F(Pool, IsOffByDefaultAndSaysSo) {
  use_pool(0);
  const Outcome outcome = agentvm({"pool", "fill"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("the pool is off: set pool.size"));
  EXPECT_EQ(agentvm({"pool", "drain"}).out, "ended 0\n");
}

}  // namespace
}  // namespace agentvm::e2e
