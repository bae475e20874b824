// With the host's real hierarchies, as root, below one directory of this test's own.
#include "runtime/host_cgroup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "oci/base/sys.h"
#include "runtime/cgroup_layout.h"

namespace agentvm::runtime {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A child that waits to be killed.
class Sleeper {
 public:
  Sleeper() : pid_(::fork()) {
    if (pid_ == 0) {
      for (;;) ::pause();
    }
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  ~Sleeper() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

class HostCgroupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to make cgroups";
    auto found = find_cgroup_hierarchies();
    ASSERT_TRUE(found) << found.error().text();
    hierarchies_ = *found;
    request_.container_id = "web";
    request_.cgroups_path = parent_ + "/web";
  }
  void TearDown() override { EXPECT_THAT(left_over(), IsEmpty()); }

  // Directories of this test that still exist.
  std::vector<std::string> left_over() const {
    std::vector<std::string> left;
    for (const CgroupHierarchy& hierarchy : hierarchies_) {
      if (std::filesystem::exists(hierarchy.mount_point + parent_)) {
        left.push_back(hierarchy.mount_point + parent_);
      }
    }
    return left;
  }
  // "" when no hierarchy has the controller.
  std::string directory_with(const std::string& controller) const {
    for (const CgroupHierarchy& hierarchy : hierarchies_) {
      if (std::ranges::find(hierarchy.controllers, controller) != hierarchy.controllers.end()) {
        return hierarchy.mount_point + request_.cgroups_path;
      }
    }
    return "";
  }
  static std::string read(const std::string& path) {
    auto text = sys::read_file(path, 65'536);
    return text ? text->substr(0, text->find('\n')) : text.error().text();
  }
  HostCgroup create() {
    auto cgroup = HostCgroup::create(request_);
    EXPECT_TRUE(cgroup) << cgroup.error().text();
    return std::move(*cgroup);
  }
  void remove(const HostCgroup& cgroup) {
    auto killed = cgroup.kill_all(30s);
    EXPECT_TRUE(killed) << killed.error().text();
    auto removed = cgroup.remove(30s);
    EXPECT_TRUE(removed) << removed.error().text();
  }

  std::string parent_ = "/agentvm-test-" + std::to_string(::getpid());
  std::vector<CgroupHierarchy> hierarchies_;
  CgroupRequest request_;
};

TEST_F(HostCgroupTest, HoldsTheFirstProcessInEveryHierarchyAndGoesAfterIt) {
  const Sleeper first;
  request_.first = first.pid();
  const HostCgroup cgroup = create();
  EXPECT_EQ(cgroup.record().dirs.size(), hierarchies_.size());
  auto text = sys::read_file("/proc/" + std::to_string(first.pid()) + "/cgroup", 65'536);
  EXPECT_EQ(static_cast<std::size_t>(std::ranges::count(*text, '\n')), hierarchies_.size());
  std::size_t inside = 0;
  for (std::size_t at = 0; (at = text->find(":" + parent_ + "/web\n", at)) != std::string::npos;
       ++at) {
    ++inside;
  }
  EXPECT_EQ(inside, hierarchies_.size()) << *text;
  EXPECT_THAT(*cgroup.pids(), ElementsAre(first.pid()));

  const Sleeper second;
  ASSERT_TRUE(cgroup.join(second.pid()));
  EXPECT_EQ(cgroup.pids()->size(), 2U);
  auto early = cgroup.remove(0ms);
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().kind, ErrorKind::failed_precondition);
  EXPECT_THAT(early.error().text(), HasSubstr("is still in use: 2 process(es)"));

  remove(HostCgroup::adopt(cgroup.record()));  // as `delete` does, without the one that made it
  EXPECT_TRUE(cgroup.remove(0ms)) << "repeating it is fine";
  EXPECT_TRUE(cgroup.kill_all(0ms));
  EXPECT_THAT(*cgroup.pids(), IsEmpty());
}

// What a creator stores first, in case that it is killed before it can store what it made.
TEST_F(HostCgroupTest, ThePlanAloneIsEnoughToRemoveAll) {
  auto planned = HostCgroup::plan(request_);
  ASSERT_TRUE(planned) << planned.error().text();
  const Sleeper first;
  request_.first = first.pid();
  const HostCgroup cgroup = create();
  auto refused = HostCgroup::plan(request_);
  ASSERT_FALSE(refused) << "somebody is in";
  EXPECT_THAT(refused.error().text(), HasSubstr("1 process(es) found"));
  remove(HostCgroup::adopt(*planned));
  for (const CgroupDir& dir : cgroup.record().dirs) {
    EXPECT_FALSE(std::filesystem::exists(dir.hierarchy + dir.path));
    for (const std::string& parent : dir.made_parents) {
      EXPECT_FALSE(std::filesystem::exists(dir.hierarchy + parent));
    }
  }
}

TEST_F(HostCgroupTest, LimitsTheVm) {
  const Sleeper first;
  request_.first = first.pid();
  request_.limits.memory = 64 << 20;
  request_.limits.cpu_shares = 512;
  request_.limits.cpu_quota_us = 50'000;
  request_.limits.cpu_period_us = 100'000;
  request_.limits.cpus = "0";
  const HostCgroup cgroup = create();
  const std::string memory = directory_with("memory");
  const std::string cpu = directory_with("cpu");
  if (std::filesystem::exists(memory + "/memory.max")) {
    EXPECT_EQ(read(memory + "/memory.max"), std::to_string(64 << 20));
    EXPECT_EQ(read(cpu + "/cpu.max"), "50000 100000");
  } else {
    EXPECT_EQ(read(memory + "/memory.limit_in_bytes"), std::to_string(64 << 20));
    EXPECT_EQ(read(cpu + "/cpu.cfs_quota_us"), "50000");
    EXPECT_EQ(read(cpu + "/cpu.shares"), "512");
  }
  EXPECT_EQ(read(directory_with("cpuset") + "/cpuset.cpus"), "0");

  HostLimits more;
  more.pids.reset();
  more.cpu_period_us = 200'000;
  auto notes = cgroup.update(more);
  ASSERT_TRUE(notes) << notes.error().text();
  EXPECT_THAT(*notes, IsEmpty());
  if (std::filesystem::exists(cpu + "/cpu.max")) {
    EXPECT_EQ(read(cpu + "/cpu.max"), "50000 200000");
  } else {
    EXPECT_EQ(read(cpu + "/cpu.cfs_quota_us"), "50000");
    EXPECT_EQ(read(cpu + "/cpu.cfs_period_us"), "200000");
  }
  remove(cgroup);
}

TEST_F(HostCgroupTest, NotesWhatTheHostCannotLimitInsteadOfKeepingQuiet) {
  const Sleeper first;
  request_.first = first.pid();
  request_.limits.block_io = oci::BlockIoResources{};
  request_.limits.block_io->weight = 500;
  const HostCgroup cgroup = create();
  const std::string blkio = directory_with("blkio");
  if (!blkio.empty() && !std::filesystem::exists(blkio + "/blkio.weight") &&
      !std::filesystem::exists(blkio + "/blkio.bfq.weight")) {
    EXPECT_THAT(cgroup.notes(),
                testing::Contains("blockIO weight has no effect on the host: its cgroups have no "
                                  "blkio.bfq.weight"));
  }
  if (directory_with("pids").empty()) {
    EXPECT_THAT(cgroup.notes(), testing::Contains(HasSubstr("pids limit has no effect")));
  }
  remove(cgroup);
}

TEST_F(HostCgroupTest, RefusesACgroupThatSomebodyIsIn) {
  const Sleeper first;
  request_.first = first.pid();
  const HostCgroup taken = create();
  const Sleeper other;
  request_.first = other.pid();
  auto refused = HostCgroup::create(request_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::failed_precondition);
  EXPECT_THAT(refused.error().text(),
              HasSubstr("container's cgroup is not empty: 1 process(es) found in "));
  EXPECT_THAT(*taken.pids(), ElementsAre(first.pid())) << "the refused one took nothing down";
  remove(taken);
}

TEST_F(HostCgroupTest, LeavesNothingBehindWhenALimitIsRefused) {
  const Sleeper first;
  request_.first = first.pid();
  request_.limits.cpus = "4000";
  auto refused = HostCgroup::create(request_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text(), HasSubstr("limit the VM's cpu cpus: write '4000' to '"));
  EXPECT_THAT(left_over(), IsEmpty());
  EXPECT_EQ(::kill(first.pid(), 0), 0);
}

TEST_F(HostCgroupTest, LeavesNothingBehindWhenTheProcessIsGone) {
  pid_t gone = 0;
  {
    gone = Sleeper().pid();
  }
  request_.first = gone;
  auto refused = HostCgroup::create(request_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(left_over(), IsEmpty());
}

TEST_F(HostCgroupTest, KillsProcessesThatForkWhileTheyAreKilled) {
  const pid_t forker = ::fork();
  if (forker == 0) {
    ::signal(SIGCHLD, SIG_IGN);
    ::raise(SIGSTOP);
    for (;;) {
      if (::fork() == 0) {
        for (int i = 0; i < 50; ++i) {
          if (::fork() == 0) ::_exit(0);
        }
        ::_exit(0);
      }
      ::usleep(100);
    }
  }
  ::waitpid(forker, nullptr, WUNTRACED);
  request_.first = forker;
  const HostCgroup cgroup = create();
  ::kill(forker, SIGCONT);
  remove(cgroup);
  ::waitpid(forker, nullptr, 0);
}

TEST_F(HostCgroupTest, RemovesCgroupsThatAppearedBelow) {
  const Sleeper first;
  request_.first = first.pid();
  const HostCgroup cgroup = create();
  for (const CgroupDir& dir : cgroup.record().dirs) {
    std::filesystem::create_directories(dir.hierarchy + dir.path + "/below/further");
  }
  remove(cgroup);
}

TEST_F(HostCgroupTest, KeepsAParentThatAnotherContainerUses) {
  const Sleeper first;
  request_.first = first.pid();
  const HostCgroup web = create();
  const Sleeper second;
  request_.first = second.pid();
  request_.cgroups_path = parent_ + "/db";
  const HostCgroup db = create();
  remove(web);
  EXPECT_THAT(*db.pids(), ElementsAre(second.pid()));
  remove(db);
  EXPECT_EQ(left_over().size(), hierarchies_.size()) << "the second did not make it";
  for (const std::string& directory : left_over()) ::rmdir(directory.c_str());
}

TEST_F(HostCgroupTest, WillNotKillItsCaller) {
  const pid_t child = ::fork();
  if (child == 0) {
    request_.first = 0;
    auto cgroup = HostCgroup::create(request_);
    if (!cgroup) ::_exit(1);
    auto killed = cgroup->kill_all(1s);
    ::_exit(!killed && killed.error().text() ==
                           "kill the container's processes: the caller is one "
                           "of them"
                ? 0
                : 2);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  CgroupRecord record;
  for (const CgroupHierarchy& hierarchy : hierarchies_) {
    record.dirs.push_back({.hierarchy = hierarchy.mount_point,
                           .path = request_.cgroups_path,
                           .v2 = hierarchy.v2,
                           .controllers = hierarchy.controllers,
                           .made_parents = {parent_}});
  }
  remove(HostCgroup::adopt(record));
}

}  // namespace
}  // namespace agentvm::runtime
