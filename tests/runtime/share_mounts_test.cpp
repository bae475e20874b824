// Real mounts, each test in a mount namespace of its own that ends with its process.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>

#include "runtime/guest_spec.h"
#include "runtime/mount_table.h"
#include "tests/runtime/sample_spec.h"
#include "tests/temp_dir.h"

namespace agentvm::runtime {
namespace {

using ::testing::HasSubstr;

class ApplyShareTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount";
    std::filesystem::create_directories(temp_ / "rootfs");
    std::filesystem::create_directories(temp_ / "shared");
    temp_.write("rootfs/hello", "from the root\n");
  }
  void TearDown() override {
    const auto table = read_mount_table();
    for (const MountEntry& entry : *table) {
      EXPECT_FALSE(entry.mount_point.starts_with(temp_.path())) << entry.mount_point;
    }
  }

  // Runs `body` in a child with its own mount namespace; its failures become this test's.
  static void in_namespace(const std::function<void()>& body,
                           unsigned long propagation = MS_SLAVE) {
    ::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
      if (::unshare(CLONE_NEWNS) != 0 ||
          ::mount(nullptr, "/", nullptr, MS_REC | propagation, nullptr) != 0) {
        ::_exit(2);
      }
      body();
      ::fflush(nullptr);
      ::_exit(HasFailure() ? 1 : 0);
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  SharePlan plan() {
    auto made = plan_share(spec_, temp_.path());
    EXPECT_TRUE(made) << made.error().text();
    return std::move(*made);
  }
  void apply(const SharePlan& plan) {
    auto applied = apply_share(plan, temp_ / "shared");
    ASSERT_TRUE(applied) << applied.error().text();
  }
  void bind(const std::string& destination, const std::string& source,
            std::vector<std::string> options = {"rbind"}) {
    spec_.mounts.push_back({destination, "bind", source, std::move(options), {}, {}});
  }
  static std::string read(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
  }
  static int write_errno(const std::string& path) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return errno;
    ::close(fd);
    return 0;
  }

  TempDir temp_;
  oci::Spec spec_ = make_sample_spec();
};

TEST_F(ApplyShareTest, ShowsTheRootAndTheBindsAndNothingMore) {
  const std::string file = temp_.write("hosts", "127.0.0.1\n");
  temp_.write("data/inside", "some data\n");
  bind("/etc/hosts", file, {"bind"});
  bind("/data", temp_ / "data", {"rbind", "ro"});
  in_namespace([&] {
    apply(plan());
    EXPECT_EQ(read(temp_ / "shared/rootfs/hello"), "from the root");
    EXPECT_EQ(read(temp_ / "shared/mounts/0"), "127.0.0.1");
    EXPECT_EQ(read(temp_ / "shared/mounts/1/inside"), "some data");
    EXPECT_EQ(write_errno(temp_ / "shared/rootfs/new"), 0);
    EXPECT_EQ(write_errno(temp_ / "shared/mounts/0"), 0);
    EXPECT_EQ(write_errno(temp_ / "shared/mounts/1/new"), EROFS);
    EXPECT_EQ(write_errno(temp_ / "shared/new"), EROFS);
    struct statvfs flags{};
    ::statvfs((temp_ / "shared/rootfs").c_str(), &flags);
    EXPECT_NE(flags.f_flag & ST_NODEV, 0U);
    EXPECT_NE(flags.f_flag & ST_NOSUID, 0U);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(temp_ / "shared"), {}), 2);
    EXPECT_TRUE(undo_share(temp_ / "shared"));
    EXPECT_TRUE(std::filesystem::is_empty(temp_ / "shared"));
    EXPECT_TRUE(undo_share(temp_ / "shared")) << "repeating it is fine";
  });
  EXPECT_TRUE(std::filesystem::exists(temp_ / "rootfs/new"));
}

TEST_F(ApplyShareTest, MakesTheRootReadOnlyAfterItsMountPointsAreMade) {
  spec_.root->readonly = true;
  const std::string file = temp_.write("hosts", "");
  std::filesystem::create_directory_symlink("/elsewhere", temp_ / "rootfs/etc");
  std::filesystem::create_directory(temp_ / "rootfs/elsewhere");
  bind("/etc/deep/hosts", file, {"bind"});
  in_namespace([&] {
    apply(plan());
    EXPECT_EQ(write_errno(temp_ / "shared/rootfs/new"), EROFS);
  });
  // Beneath the root as the container sees it, not where the image's symlink points on the host.
  EXPECT_TRUE(std::filesystem::is_regular_file(temp_ / "rootfs/elsewhere/deep/hosts"));
  EXPECT_FALSE(std::filesystem::exists("/elsewhere"));
  EXPECT_TRUE(std::filesystem::is_directory(temp_ / "rootfs/proc"));
  EXPECT_TRUE(std::filesystem::is_directory(temp_ / "rootfs/work"));
}

TEST_F(ApplyShareTest, FollowsLaterMountsOfTheHostUnlessPrivate) {
  std::filesystem::create_directories(temp_ / "slave/later");
  std::filesystem::create_directories(temp_ / "private/later");
  in_namespace(
      [&] {
        // The "host": a shared mount, of which the runtime's namespace is a slave.
        for (const char* name : {"slave", "private"}) {
          const std::string path = temp_ / name;
          ASSERT_EQ(::mount(path.c_str(), path.c_str(), nullptr, MS_BIND, nullptr), 0);
          ASSERT_EQ(::mount(nullptr, path.c_str(), nullptr, MS_SHARED, nullptr), 0);
        }
        bind("/a", temp_ / "slave", {"rbind", "rslave"});
        bind("/b", temp_ / "private", {"rbind", "rprivate"});
        apply(plan());
        for (const char* name : {"slave", "private"}) {
          const std::string later = temp_ / (std::string(name) + "/later");
          ASSERT_EQ(::mount("none", later.c_str(), "tmpfs", 0, nullptr), 0);
          std::ofstream(later + "/new") << "x";
        }
        EXPECT_TRUE(std::filesystem::exists(temp_ / "shared/mounts/0/later/new"));
        EXPECT_FALSE(std::filesystem::exists(temp_ / "shared/mounts/1/later/new"));
        // And nothing goes the other way.
        const std::string below = temp_ / "shared/mounts/0/later";
        ASSERT_EQ(::mount("none", below.c_str(), "tmpfs", 0, nullptr), 0);
        EXPECT_TRUE(std::filesystem::exists(temp_ / "slave/later/new"));
      },
      MS_PRIVATE);
}

TEST_F(ApplyShareTest, DoesNotBringTheKernelsFilesystemsAlong) {
  std::filesystem::create_directories(temp_ / "host/proc");
  std::filesystem::create_directories(temp_ / "host/disk");
  std::filesystem::create_directories(temp_ / "host/plain");
  in_namespace(
      [&] {
        ASSERT_EQ(::mount("proc", (temp_ / "host/proc").c_str(), "proc", 0, nullptr), 0);
        ASSERT_EQ(::mount("none", (temp_ / "host/disk").c_str(), "tmpfs", 0, nullptr), 0);
        temp_.write("host/disk/file", "x");
        bind("/all", temp_ / "host", {"rbind"});
        bind("/top", temp_ / "host", {"bind"});
        apply(plan());
        EXPECT_TRUE(std::filesystem::exists(temp_ / "shared/mounts/0/disk/file"));
        EXPECT_TRUE(std::filesystem::is_empty(temp_ / "shared/mounts/0/proc"));
        EXPECT_TRUE(std::filesystem::is_empty(temp_ / "shared/mounts/1/disk"));
        EXPECT_FALSE(std::filesystem::is_empty(temp_ / "host/proc")) << "the host keeps its own";
      },
      MS_PRIVATE);
}

TEST_F(ApplyShareTest, LeavesNothingMountedWhenASourceIsGone) {
  std::filesystem::create_directories(temp_ / "data");
  bind("/data", temp_ / "data");
  in_namespace([&] {
    const SharePlan made = plan();
    std::filesystem::remove(temp_ / "data");
    auto applied = apply_share(made, temp_ / "shared");
    ASSERT_FALSE(applied);
    EXPECT_EQ(applied.error().text(), "mount source \"" + (temp_ / "data") + "\" does not exist");
    temp_.write("data", "a file by now");
    applied = apply_share(made, temp_ / "shared");
    ASSERT_FALSE(applied);
    EXPECT_EQ(applied.error().text(),
              "mount source \"" + (temp_ / "data") + "\" changed meanwhile");
    const auto table = read_mount_table();
    for (const MountEntry& entry : *table) {
      EXPECT_FALSE(entry.mount_point.starts_with(temp_.path())) << entry.mount_point;
    }
  });
}

TEST_F(ApplyShareTest, RefusesWhereTheHostWouldSeeTheMounts) {
  in_namespace(
      [&] {
        const std::string path = temp_.path();
        ASSERT_EQ(::mount(path.c_str(), path.c_str(), nullptr, MS_BIND, nullptr), 0);
        ASSERT_EQ(::mount(nullptr, path.c_str(), nullptr, MS_SHARED, nullptr), 0);
        auto applied = apply_share(plan(), temp_ / "shared");
        ASSERT_FALSE(applied);
        EXPECT_EQ(applied.error().kind, ErrorKind::failed_precondition);
        EXPECT_THAT(applied.error().text(), HasSubstr("mounts made here would show up on the host; "
                                                      "make a mount namespace first"));
      },
      MS_PRIVATE);
}

TEST(MountTable, ReadsWhatTheKernelWrites) {
  const auto table = parse_mount_table(
      "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime shared:3 master:1 - ext3 /dev/root rw\n"
      "37 35 98:0 / / rw - tmpfs none rw\n"
      "garbage\n1 2 3\n- - - - - - - - -\n");
  ASSERT_EQ(table.size(), 2U);
  EXPECT_EQ(table[0], (MountEntry{36, "/mnt 2", "ext3", true, "rw"}));
  EXPECT_EQ(table[1], (MountEntry{37, "/", "tmpfs", false, "rw"}));
}

}  // namespace
}  // namespace agentvm::runtime
