#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "rpc/guest_contract.h"
#include "runtime/disks/guest_docker.h"
#include "runtime/disks/place.h"
#include "runtime/disks/plan.h"
#include "tests/runtime/sample_spec.h"
#include "tests/temp_dir.h"

namespace agentvm::runtime {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DiskPlanTest : public ::testing::Test {
 protected:
  DiskPlanTest() {
    std::filesystem::create_directories(dir_ / "rootfs");
    dir_.write("image/kernel-modules/agentvm.dep", "");
    config_.vm.kernel = dir_ / "image/vmlinux";
  }

  void add_dockerd() const { dir_.write("rootfs/usr/bin/dockerd", "#!/bin/sh\n", 0755); }
  void be_privileged() {
    spec_.process->capabilities = oci::Capabilities{{"CAP_SYS_ADMIN"}, {}, {}, {}, {}};
    spec_.linux_->resources = oci::Resources{};
    spec_.linux_->resources->devices = {{true, "a", {}, {}, "rwm"}};
  }
  void annotate(const char* name, const std::string& value) { spec_.annotations[name] = value; }
  void add_volume(const std::string& destination, const std::string& name) {
    std::filesystem::create_directories(dir_ / name);
    spec_.mounts.push_back({destination, "bind", dir_ / name, {"rbind"}, {}, {}});
  }

  Result<std::optional<DiskPlan>> plan() {
    auto share = plan_share(spec_, dir_.path());
    EXPECT_TRUE(share) << share.error().text();
    share_ = std::move(*share);
    return plan_disk(spec_, config_, share_);
  }
  std::string error() {
    const auto planned = plan();
    return planned ? "no error" : planned.error().text();
  }
  [[nodiscard]] std::string source_of(const std::string& destination) const {
    for (const oci::Mount& mount : share_.guest_spec.mounts) {
      if (mount.destination == destination) return mount.source;
    }
    return "nothing";
  }
  [[nodiscard]] bool shares(const std::string& name) const {
    return std::ranges::find(share_.sources, name, &SharedSource::name) != share_.sources.end();
  }

  TempDir dir_;
  Config config_ = make_default_config();
  oci::Spec spec_ = make_sample_spec();
  SharePlan share_;
};

TEST_F(DiskPlanTest, AnOrdinaryContainerHasNone) {
  add_dockerd();
  EXPECT_EQ(plan().value(), std::nullopt);
  EXPECT_FALSE(shares("modules"));
  EXPECT_EQ(share_.guest_spec.root->path, "/run/agentvm/shared/rootfs");
}

TEST_F(DiskPlanTest, DockerGetsItsDirectoriesOnTheDiskAndThePrivilegesItNeeds) {
  add_dockerd();
  annotate(kDockerAnnotation, "true");
  annotate(kDiskSizeAnnotation, "1024");
  spec_.linux_->masked_paths = {"/proc/kcore"};
  spec_.linux_->readonly_paths = {"/proc/sys"};
  const auto disk = plan();
  ASSERT_TRUE(disk) << disk.error().text();
  EXPECT_EQ(**disk, (DiskPlan{1024, "", false, true}));
  EXPECT_EQ(source_of("/var/lib/docker"), "/run/agentvm/disk/docker");
  EXPECT_EQ(source_of("/var/lib/containerd"), "/run/agentvm/disk/containerd");
  EXPECT_TRUE(shares("modules"));
  const oci::Spec& guest = share_.guest_spec;
  EXPECT_EQ(guest.annotations.at(rpc::kDockerAnnotation), "/usr/bin/dockerd");
  EXPECT_THAT(guest.linux_->masked_paths, IsEmpty());
  EXPECT_THAT(guest.linux_->readonly_paths, IsEmpty());
  EXPECT_THAT(guest.process->capabilities->effective, Contains("CAP_SYS_ADMIN"));
  EXPECT_EQ(source_of("/sys/fs/cgroup"), "cgroup2");
  EXPECT_EQ(source_of("/var/run/docker"), "tmpfs");
  EXPECT_THAT(guest.linux_->namespaces, Contains(oci::Namespace{oci::NamespaceType::cgroup, ""}));
}

TEST_F(DiskPlanTest, AnotherUserIsNotMadeRoot) {
  add_dockerd();
  annotate(kDockerAnnotation, "true");
  spec_.process->user.uid = 1000;
  ASSERT_TRUE(plan());
  EXPECT_THAT(share_.guest_spec.process->capabilities->effective, IsEmpty());
  EXPECT_THAT(share_.guest_spec.process->capabilities->bounding, Contains("CAP_SYS_ADMIN"));
}

TEST_F(DiskPlanTest, APrivilegedContainerWithADockerdGetsADiskAndStartsItItself) {
  be_privileged();
  EXPECT_EQ(plan().value(), std::nullopt);
  EXPECT_TRUE(shares("modules"));
  add_dockerd();
  EXPECT_EQ(plan().value(), (DiskPlan{config_.disk.size_mib, "", false, false}));
  EXPECT_EQ(source_of("/var/lib/docker"), "/run/agentvm/disk/docker");
  EXPECT_EQ(share_.guest_spec.annotations.at(rpc::kDockerAnnotation), "");
  annotate(kDockerAnnotation, "false");
  EXPECT_EQ(plan().value(), std::nullopt);
}

TEST_F(DiskPlanTest, TheConfigurationCanAskForEveryImageWithADockerd) {
  config_.docker.inside = DockerInside::found;
  EXPECT_EQ(plan().value(), std::nullopt);
  add_dockerd();
  EXPECT_TRUE(plan().value()->docker);
  annotate(kDockerAnnotation, "false");
  EXPECT_EQ(plan().value(), std::nullopt);
}

TEST_F(DiskPlanTest, FindsTheDockerdOfThePath) {
  spec_.process->env = {"PATH=/opt/bin:relative:/bin"};
  annotate(kDockerAnnotation, "true");
  add_dockerd();
  EXPECT_EQ(
      error(),
      "annotation 'io.agentvm.docker': the image has no dockerd in its PATH: install Docker's "
      "engine in it, or leave the annotation out");
  dir_.write("rootfs/bin/dockerd", "no program", 0644);
  EXPECT_THAT(error(), HasSubstr("the image has no dockerd"));
  // As the container sees it: a link leads to its own file.
  std::filesystem::create_directories(dir_ / "rootfs/opt/bin");
  std::filesystem::create_symlink("/usr/bin/dockerd", dir_ / "rootfs/opt/bin/dockerd");
  ASSERT_EQ(error(), "no error");
  EXPECT_EQ(share_.guest_spec.annotations.at(rpc::kDockerAnnotation), "/opt/bin/dockerd");
}

TEST_F(DiskPlanTest, AnEmptyVolumeBecomesTheDisk) {
  add_dockerd();
  be_privileged();
  add_volume("/var/lib/docker/", "volume");
  EXPECT_EQ(plan().value()->volume, dir_ / "volume");
  EXPECT_EQ(source_of("/var/lib/docker"), "/run/agentvm/disk/docker");
  EXPECT_FALSE(shares("mounts/0"));
  dir_.write("volume/agentvm-disk.img", "");
  EXPECT_EQ(plan().value()->volume, dir_ / "volume");
}

TEST_F(DiskPlanTest, AVolumeWithDataStaysWhatItIs) {
  add_dockerd();
  be_privileged();
  add_volume("/var/lib/docker", "volume");
  dir_.write("volume/image/repositories.json", "{}");
  EXPECT_EQ(plan().value()->volume, "");
  EXPECT_TRUE(shares("mounts/0"));
  EXPECT_EQ(source_of("/var/lib/containerd"), "/run/agentvm/disk/containerd");
  EXPECT_THAT(share_.notes, Contains(HasSubstr("'/var/lib/docker' stays what is mounted there")));
}

TEST_F(DiskPlanTest, TheRootCanBeAnOverlayOnTheDisk) {
  annotate(kRootAnnotation, "overlay");
  EXPECT_EQ(plan().value(), (DiskPlan{config_.disk.size_mib, "", true, false}));
  EXPECT_EQ(share_.guest_spec.root->path, "/run/agentvm/root");
  annotate(kRootAnnotation, "shared");
  EXPECT_EQ(plan().value(), std::nullopt);
}

TEST_F(DiskPlanTest, NamesTheValueThatIsWrong) {
  annotate(kRootAnnotation, "disk");
  EXPECT_EQ(error(), "annotation 'io.agentvm.rootfs': expected overlay or shared, found 'disk'");
  spec_.annotations.clear();
  annotate(kDockerAnnotation, "yes");
  EXPECT_EQ(error(), "annotation 'io.agentvm.docker': expected true or false, found 'yes'");
  spec_.annotations.clear();
  for (const char* size : {"", "63", "-1", "1e6", "99999999999999999999"}) {
    annotate(kDiskSizeAnnotation, size);
    EXPECT_EQ(error(), fmt::format("annotation 'io.agentvm.disk_mib': expected 64 to 15728640 MiB, "
                                   "found '{}'",
                                   size));
  }
}

TEST_F(DiskPlanTest, DockerNeedsTheModulesBesideTheKernel) {
  add_dockerd();
  annotate(kDockerAnnotation, "true");
  config_.vm.kernel = dir_ / "vmlinux";
  EXPECT_EQ(error(), fmt::format("the kernel modules that Docker needs are missing beside the "
                                 "guest's kernel ('{}'): run agentvm-kernel",
                                 dir_ / "kernel-modules"));
}

TEST(DiskPlace, IsBesideTheWritableLayerOfAnOverlay) {
  const auto table = parse_mount_table(
      "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
      "2 1 0:5 / /d/overlay2/x/merged rw - overlay overlay "
      "rw,lowerdir=/d/l/A:/d/l/B,upperdir=/d/overlay2/x/diff,workdir=/d/overlay2/x/work\n"
      "3 1 0:6 / /relative rw - overlay overlay rw,lowerdir=l/A,upperdir=x/diff,workdir=x/work\n"
      "4 1 0:7 / /readonly rw - overlay overlay rw,lowerdir=/a:/b\n"
      "5 1 0:8 / /d/overlay2/y/merged rw - overlay overlay rw,upperdir=/old/diff\n"
      "6 1 0:9 / /d/overlay2/y/merged rw - tmpfs none rw\n");
  EXPECT_EQ(layer_directory(table, "/d/overlay2/x/merged"), "/d/overlay2/x");
  EXPECT_EQ(layer_directory(table, "/relative"), "");
  EXPECT_EQ(layer_directory(table, "/readonly"), "");
  EXPECT_EQ(layer_directory(table, "/d/overlay2/y/merged"), "");
  EXPECT_EQ(layer_directory(table, "/"), "");
}

TEST(DiskPlace, IsTheVolumesOrOneOfItsOwn) {
  EXPECT_EQ(find_disk_place({64, "/volumes/a", false, false}, "/nowhere", "web", "/disks").value(),
            (DiskPlace{"/volumes/a", "agentvm-disk.img", true}));
  const auto own = find_disk_place({64, "", false, false}, "/nowhere", "web", "/disks").value();
  EXPECT_EQ(own.directory, "/disks");
  EXPECT_THAT(own.name, ::testing::MatchesRegex("web-[0-9a-f]{16}\\.img"));
  EXPECT_FALSE(own.lasting);
}

}  // namespace
}  // namespace agentvm::runtime
