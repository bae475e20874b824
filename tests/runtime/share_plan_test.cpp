#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "oci/base/sys.h"
#include "runtime/guest_spec.h"
#include "tests/runtime/sample_spec.h"
#include "tests/temp_dir.h"

namespace agentvm::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class PlanShareTest : public ::testing::Test {
 protected:
  PlanShareTest() { std::filesystem::create_directories(bundle_ / "rootfs"); }

  void bind(const std::string& destination, const std::string& source,
            std::vector<std::string> options = {"rbind"}) {
    spec_.mounts.push_back({destination, "bind", source, std::move(options), {}, {}});
  }
  SharePlan plan() {
    auto plan = plan_share(spec_, bundle_.path());
    EXPECT_TRUE(plan) << plan.error().text();
    return plan ? std::move(*plan) : SharePlan{};
  }
  std::string error() {
    auto plan = plan_share(spec_, bundle_.path());
    return plan ? "no error" : plan.error().text();
  }

  TempDir bundle_;
  oci::Spec spec_ = make_sample_spec();
};

TEST_F(PlanShareTest, SharesTheRootAndEveryBindAndNothingElse) {
  const std::string file = bundle_.write("hosts", "127.0.0.1 localhost\n");
  std::filesystem::create_directories(bundle_ / "data");
  bind("/etc/hosts", file, {"bind", "ro", "rprivate"});
  bind("/data", "data");
  const SharePlan made = plan();
  EXPECT_THAT(
      made.sources,
      ElementsAre(
          SharedSource{"rootfs", bundle_ / "rootfs", true, true, false, Propagation::slave},
          SharedSource{"mounts/0", file, false, false, true, Propagation::private_},
          SharedSource{"mounts/1", bundle_ / "data", true, true, false, Propagation::slave}));
  EXPECT_EQ(made.guest_spec.root->path, "/run/agentvm/shared/rootfs");
  EXPECT_EQ(made.guest_spec.mounts[4].source, "/run/agentvm/shared/mounts/0");
  EXPECT_EQ(made.guest_spec.mounts[4].options, spec_.mounts[4].options);
  EXPECT_EQ(made.guest_spec.mounts[5].source, "/run/agentvm/shared/mounts/1");
  EXPECT_EQ(made.guest_spec.mounts[0], spec_.mounts[0]);
  EXPECT_THAT(made.mount_points, IsEmpty());
  EXPECT_THAT(made.notes, IsEmpty());
}

TEST_F(PlanShareTest, TakesFromTheSpecWhatIsTheHosts) {
  spec_.linux_->cgroups_path = "/docker/x";
  spec_.linux_->namespaces.push_back({oci::NamespaceType::time, ""});
  spec_.linux_->namespaces.push_back({oci::NamespaceType::cgroup, ""});
  spec_.hooks.prestart = {{"/bin/a", {}, {}, {}}};
  spec_.hooks.poststop = {{"/bin/b", {}, {}, {}}};
  spec_.hooks.start_container = {{"/bin/c", {}, {}, {}}};
  spec_.annotations = {{"io.agentvm.vcpus", "2"}, {"org.example", "x"}};
  spec_.process->apparmor_profile = "docker-default";
  spec_.vm = oci::Vm{};
  const SharePlan made = plan();
  const oci::Spec& guest = made.guest_spec;
  EXPECT_EQ(guest.linux_->cgroups_path, "");
  for (const auto& entry : guest.linux_->namespaces) {
    EXPECT_NE(entry.type, oci::NamespaceType::network);
    EXPECT_NE(entry.type, oci::NamespaceType::time);
  }
  EXPECT_EQ(guest.linux_->namespaces.size(), 5U);
  EXPECT_THAT(guest.hooks.prestart, IsEmpty());
  EXPECT_THAT(guest.hooks.poststop, IsEmpty());
  EXPECT_EQ(guest.hooks.start_container, spec_.hooks.start_container);
  EXPECT_EQ(guest.annotations, (std::map<std::string, std::string>{{"org.example", "x"}}));
  EXPECT_EQ(guest.process->apparmor_profile, "");
  EXPECT_FALSE(guest.vm);
  EXPECT_THAT(made.notes, ElementsAre("AppArmor profile 'docker-default' has no effect: the VM is "
                                      "what confines the container"));
}

TEST_F(PlanShareTest, LeavesTheHostsDevicesOutAndSaysWhich) {
  spec_.linux_->devices = {{"c", "/dev/fuse", 10, 229, {}, {}, {}},
                           {"b", "/dev/sda", 8, 0, {}, {}, {}},
                           {"c", "/dev/kvm", 10, 232, {}, {}, {}}};
  const SharePlan made = plan();
  ASSERT_EQ(made.guest_spec.linux_->devices.size(), 1U);
  EXPECT_EQ(made.guest_spec.linux_->devices[0].path, "/dev/fuse");
  EXPECT_THAT(made.notes, ElementsAre("devices of the host are left out: /dev/sda, /dev/kvm"));
}

TEST_F(PlanShareTest, MakesMountPointsAheadWhereTheRootIsReadOnly) {
  spec_.root->readonly = true;
  const std::string file = bundle_.write("hosts", "");
  bind("/etc/hosts", file);
  bind("/etc/../data/", bundle_.path());
  bind("/data/sub", file);
  const SharePlan made = plan();
  EXPECT_TRUE(made.sources[0].read_only);
  EXPECT_THAT(made.mount_points,
              ElementsAre(MountPoint{"/proc", true}, MountPoint{"/dev", true},
                          MountPoint{"/sys", true}, MountPoint{"/etc/hosts", false},
                          MountPoint{"/data", true}, MountPoint{"/work", true}));
  // Without a mount on /dev the guest has to make its nodes in the root.
  std::erase_if(spec_.mounts, [](const auto& mount) { return mount.destination == "/dev"; });
  EXPECT_FALSE(plan().sources[0].read_only);
}

TEST_F(PlanShareTest, SaysWhyASourceCannotBeShared) {
  const auto wrong = [&](const std::string& source) {
    oci::Spec before = spec_;
    bind("/x", source);
    std::string text = error();
    spec_ = before;
    return text;
  };
  EXPECT_EQ(wrong(bundle_ / "none"),
            "mount '/x': mount source \"" + (bundle_ / "none") + "\" does not exist");
  auto dir = sys::open_at(AT_FDCWD, bundle_.path(), O_RDONLY | O_DIRECTORY);
  auto socket = sys::listen_unix_at(dir->get(), "app.sock", 0600);
  auto engine = sys::listen_unix_at(dir->get(), "docker.sock", 0600);
  EXPECT_THAT(wrong(bundle_ / "app.sock"), HasSubstr("is a unix socket, which does not reach into "
                                                     "a VM; connect over the container's network"));
  EXPECT_THAT(wrong(bundle_ / "docker.sock"),
              HasSubstr("is a container engine's socket, which would give the container this "
                        "host; run the engine inside the container instead"));
  ASSERT_EQ(::mkfifo((bundle_ / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(wrong(bundle_ / "fifo"), HasSubstr("is a fifo, which does not reach into a VM"));
  EXPECT_THAT(wrong("/dev/null"), HasSubstr("is a device of this host"));
  EXPECT_THAT(wrong("/proc"), HasSubstr("lies in the host kernel's proc, which is not the "
                                        "container's; mount a proc of its own"));
  EXPECT_THAT(wrong("/proc/sys/kernel"), HasSubstr("lies in the host kernel's proc"));
  EXPECT_THAT(wrong("/sys"), HasSubstr("lies in the host kernel's sysfs"));
  EXPECT_THAT(wrong("/dev"), HasSubstr("lies in /dev, whose devices are this host's"));
  // Nor by a symlink.
  std::filesystem::create_directory_symlink("/proc/self", bundle_ / "link");
  EXPECT_THAT(wrong(bundle_ / "link"), HasSubstr("lies in the host kernel's proc"));
}

TEST_F(PlanShareTest, NamesARootThatIsNotThere) {
  std::filesystem::remove(bundle_ / "rootfs");
  EXPECT_EQ(error(),
            "root of the container: mount source \"" + (bundle_ / "rootfs") + "\" does not exist");
  bundle_.write("rootfs", "");
  EXPECT_EQ(error(), "root of the container: \"" + (bundle_ / "rootfs") +
                         "\" is a file; it must be the directory of the root file system");
}

TEST_F(PlanShareTest, RefusesTheHostsNetworkBehindAPath) {
  for (auto& entry : spec_.linux_->namespaces) {
    if (entry.type == oci::NamespaceType::network) entry.path = "/proc/self/ns/net";
  }
  EXPECT_THAT(error(), HasSubstr("network namespace \"/proc/self/ns/net\" is the host's (--network "
                                 "host), which cannot be shared with a VM"));
  for (auto& entry : spec_.linux_->namespaces) {
    if (entry.type == oci::NamespaceType::network) entry.path = bundle_ / "none";
  }
  EXPECT_EQ(error(), "network namespace \"" + (bundle_ / "none") + "\" does not exist");
}

TEST(PlanGuestResources, LeavesToTheHostWhatIsCountedInItsNumbers) {
  oci::Resources resources;
  resources.cpu = oci::CpuResources{};
  resources.cpu->cpus = "2-3";
  resources.cpu->mems = "0";
  resources.cpu->shares = 512;
  resources.memory = oci::MemoryResources{};
  resources.memory->limit = 1 << 26;
  resources.memory->swappiness = 10;
  resources.memory->disable_oom_killer = true;
  resources.pids_limit = 10;
  resources.block_io = oci::BlockIoResources{};
  resources.network = oci::NetworkResources{};
  resources.unified["memory.high"] = "1000";
  const GuestResources plan = plan_guest_resources(resources);
  oci::Resources expected;
  expected.cpu = oci::CpuResources{};
  expected.cpu->shares = 512;
  expected.memory = oci::MemoryResources{};
  expected.memory->limit = 1 << 26;
  expected.pids_limit = 10;
  expected.unified = resources.unified;
  EXPECT_EQ(plan.resources, expected);
  EXPECT_THAT(plan.notes, ElementsAre(HasSubstr("swappiness"), HasSubstr("disableOOMKiller")));
}

}  // namespace
}  // namespace agentvm::runtime
