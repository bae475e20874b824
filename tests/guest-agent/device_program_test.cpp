// The device program in the kernel: loaded, attached to a real cgroup, asked by real opens.
#include <fcntl.h>
#include <sys/sysmacros.h>

#include <array>
#include <cerrno>

#include "guest-agent/cgroup_devices.h"
#include "test_cgroup.h"

namespace agentvm::guest {
namespace {

class DeviceProgramTest : public CgroupTest {
 protected:
  void SetUp() override {
    CgroupTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    node_ = testing::TempDir() + "agentvm-device-" + std::to_string(::getpid());
  }
  void TearDown() override {
    ::unlink(node_.c_str());
    CgroupTest::TearDown();
  }

  void make_cgroup(std::vector<oci::DeviceRule> rules) {
    oci::Resources resources;
    resources.devices = std::move(rules);
    auto made = Cgroup::create(tree_, "web", resources);
    ASSERT_TRUE(made.has_value()) << made.error().text();
    cgroup_.emplace(*std::move(made));
  }

  // errno of open(2) by a process of the cgroup, 0 when it worked or the device has no driver.
  int open_inside(char type, unsigned major, unsigned minor, int flags) {
    ::unlink(node_.c_str());
    const mode_t mode = (type == 'b' ? S_IFBLK : S_IFCHR) | 0600;
    EXPECT_EQ(::mknod(node_.c_str(), mode, makedev(major, minor)), 0);
    return inside([&] {
      if (::open(node_.c_str(), flags | O_NONBLOCK) >= 0) return 0;
      return errno == ENXIO || errno == ENODEV ? 0 : errno;
    });
  }
  int mknod_inside(char type, unsigned major, unsigned minor) {
    ::unlink(node_.c_str());
    const mode_t mode = (type == 'b' ? S_IFBLK : S_IFCHR) | 0600;
    return inside(
        [&] { return ::mknod(node_.c_str(), mode, makedev(major, minor)) == 0 ? 0 : errno; });
  }
  int inside(const std::function<int()>& body) {
    int status = 0;
    ::waitpid(start_in(cgroup_->path(), body), &status, 0);
    return WEXITSTATUS(status);
  }

  std::string node_;
  std::optional<Cgroup> cgroup_;
};

TEST_F(DeviceProgramTest, WithoutRulesOnlyTheDefaultDevicesOpen) {
  make_cgroup({});
  EXPECT_EQ(open_inside('c', 1, 3, O_RDWR), 0);
  EXPECT_EQ(open_inside('c', 1, 9, O_RDONLY), 0);
  EXPECT_EQ(open_inside('c', 1, 1, O_RDONLY), EPERM);   // mem
  EXPECT_EQ(open_inside('c', 10, 229, O_RDWR), EPERM);  // fuse
  EXPECT_EQ(open_inside('b', 8, 0, O_RDONLY), EPERM);
  EXPECT_EQ(mknod_inside('b', 8, 0), 0);
}

TEST_F(DeviceProgramTest, ARuleAllowsItsAccessAndNoMore) {
  make_cgroup({{true, "c", 10, 229, "r"}, {true, "b", 7, {}, "rw"}});
  EXPECT_EQ(open_inside('c', 10, 229, O_RDONLY), 0);
  EXPECT_EQ(open_inside('c', 10, 229, O_WRONLY), EPERM);
  EXPECT_EQ(open_inside('c', 10, 229, O_RDWR), EPERM);
  EXPECT_EQ(open_inside('b', 7, 200, O_RDWR), 0);
  EXPECT_EQ(open_inside('c', 7, 200, O_RDWR), EPERM);
}

TEST_F(DeviceProgramTest, ADenyingRuleAlsoStopsAnOpenThatAsksForMore) {
  make_cgroup({{true, "a", {}, {}, "rwm"}, {false, "c", 10, 229, "w"}});
  EXPECT_EQ(open_inside('c', 10, 229, O_RDONLY), 0);
  EXPECT_EQ(open_inside('c', 10, 229, O_WRONLY), EPERM);
  EXPECT_EQ(open_inside('c', 10, 229, O_RDWR), EPERM);
  EXPECT_EQ(open_inside('c', 1, 1, O_RDONLY), 0);
}

TEST_F(DeviceProgramTest, AnUpdateReplacesTheProgram) {
  make_cgroup({});
  EXPECT_EQ(open_inside('c', 10, 229, O_RDONLY), EPERM);
  oci::Resources update;
  update.devices = {{true, "c", 10, 229, "rwm"}};
  ASSERT_TRUE(cgroup_->update(update).has_value());
  EXPECT_EQ(open_inside('c', 10, 229, O_RDONLY), 0);
  EXPECT_EQ(open_inside('c', 1, 1, O_RDONLY), EPERM);
}

TEST_F(DeviceProgramTest, ManyRulesLoad) {
  std::vector<oci::DeviceRule> rules;
  for (std::int64_t minor = 0; minor < 4000; ++minor) {
    rules.push_back({true, "c", 4000, minor, minor % 2 == 0 ? "r" : "rw"});
  }
  const auto policy = device_policy(rules);
  ASSERT_TRUE(policy.has_value());
  const auto program = load_device_program(device_program(*policy));
  EXPECT_TRUE(program.has_value()) << program.error().text();
}

TEST_F(DeviceProgramTest, ABrokenProgramIsRefusedWithTheVerifiersWords) {
  std::array<bpf_insn, 1> no_exit{};
  no_exit[0].code = BPF_ALU | BPF_MOV | BPF_K;
  const auto program = load_device_program(no_exit);
  ASSERT_FALSE(program.has_value());
  EXPECT_TRUE(program.error().text().starts_with("load the device program: "));
}

}  // namespace
}  // namespace agentvm::guest
