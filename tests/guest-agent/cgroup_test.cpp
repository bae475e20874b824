#include "guest-agent/cgroup.h"

#include <gmock/gmock.h>

#include "guest-agent/cgroup_stats.h"
#include "test_cgroup.h"

namespace agentvm::guest {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;
using namespace std::chrono_literals;

Result<void> run(Task<void> task) {
  asio::io_context io;
  return run_to_end(io, std::move(task));
}

int wait_for(pid_t pid) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status;
}

TEST_F(CgroupTest, RemoveKillsWhatIsInsideAndBelow) {
  auto cgroup = Cgroup::create(tree_, "web", {});
  ASSERT_TRUE(cgroup.has_value()) << cgroup.error().text();
  const auto inner = make_inner_cgroup(cgroup->path(), "a/b");
  ASSERT_TRUE(inner.has_value()) << inner.error().text();
  const pid_t first = start_idle_in(cgroup->path());
  const pid_t second = start_idle_in(*inner);
  EXPECT_THAT(*cgroup->processes(), UnorderedElementsAre(first, second));
  EXPECT_TRUE(cgroup->contains(first));
  EXPECT_FALSE(cgroup->contains(::getpid()));

  const auto removed = run(cgroup->remove(10s));
  EXPECT_TRUE(removed.has_value()) << removed.error().text();
  EXPECT_EQ(WTERMSIG(wait_for(first)), SIGKILL);
  EXPECT_EQ(WTERMSIG(wait_for(second)), SIGKILL);
  EXPECT_NE(::access(cgroup->path().c_str(), F_OK), 0);
  EXPECT_TRUE(run(cgroup->remove(10s)).has_value()) << "removing twice is fine";
}

TEST_F(CgroupTest, FreezeWaitsUntilAllHaveStopped) {
  auto cgroup = Cgroup::create(tree_, "web", {});
  ASSERT_TRUE(cgroup.has_value());
  start_idle_in(cgroup->path());
  ASSERT_TRUE(run(cgroup->freeze(10s)).has_value());
  EXPECT_NE(sys::read_file(cgroup->path() + "/cgroup.events", 4096)->find("frozen 1"),
            std::string::npos);
  ASSERT_TRUE(run(cgroup->thaw(10s)).has_value());
  EXPECT_NE(sys::read_file(cgroup->path() + "/cgroup.events", 4096)->find("frozen 0"),
            std::string::npos);
}

TEST_F(CgroupTest, FrozenProcessesCanBeRemoved) {
  auto cgroup = Cgroup::create(tree_, "web", {});
  ASSERT_TRUE(cgroup.has_value());
  start_idle_in(cgroup->path());
  ASSERT_TRUE(run(cgroup->freeze(10s)).has_value());
  const auto removed = run(cgroup->remove(10s));
  EXPECT_TRUE(removed.has_value()) << removed.error().text();
}

TEST_F(CgroupTest, AWrongLimitLeavesNoDirectory) {
  oci::Resources resources;
  resources.unified["cgroup.max.depth"] = "not a number";
  const auto cgroup = Cgroup::create(tree_, "web", resources);
  ASSERT_FALSE(cgroup.has_value());
  EXPECT_EQ(cgroup.error().text(),
            "/linux/resources/unified/cgroup.max.depth: write 'not a number' to '" + root_ +
                "/containers/web/cgroup.max.depth': Invalid argument");
  EXPECT_NE(::access((root_ + "/containers/web").c_str(), F_OK), 0);
}

TEST_F(CgroupTest, ANameThatIsTakenIsAnError) {
  ASSERT_TRUE(Cgroup::create(tree_, "web", {}).has_value());
  EXPECT_EQ(Cgroup::create(tree_, "web", {}).error().kind, ErrorKind::already_exists);
}

TEST_F(CgroupTest, UpdateWritesAndRemembers) {
  oci::Resources resources;
  resources.unified["cgroup.max.depth"] = "3";
  auto cgroup = Cgroup::create(tree_, "web", resources);
  ASSERT_TRUE(cgroup.has_value());
  resources.unified = {{"cgroup.max.descendants", "9"}};
  ASSERT_TRUE(cgroup->update(resources).has_value());
  EXPECT_EQ(*sys::read_file(cgroup->path() + "/cgroup.max.depth", 100), "3\n");
  EXPECT_EQ(*sys::read_file(cgroup->path() + "/cgroup.max.descendants", 100), "9\n");
}

TEST_F(CgroupTest, AnExecGoesToInitsCgroupWhenOursIsDelegated) {
  auto cgroup = Cgroup::create(tree_, "web", {});
  ASSERT_TRUE(cgroup.has_value());
  const auto inner = make_inner_cgroup(cgroup->path(), "init");
  const pid_t init = start_idle_in(*inner);
  EXPECT_EQ(*cgroup->place_for_exec(init), cgroup->path());
}

TEST_F(CgroupTest, InnerCgroupsCannotEscape) {
  auto cgroup = Cgroup::create(tree_, "web", {});
  ASSERT_TRUE(cgroup.has_value());
  EXPECT_FALSE(make_inner_cgroup(cgroup->path(), "../other").has_value());
}

TEST_F(CgroupTest, StatsCountTheTimeOfWhatRanInside) {
  auto cgroup = Cgroup::create(tree_, "web", {});
  ASSERT_TRUE(cgroup.has_value());
  wait_for(start_in(cgroup->path(), [] {
    volatile std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < 20000000; ++i) sum = sum + i;
    return 0;
  }));
  const auto stats = read_cgroup_stats(cgroup->path(), {});
  EXPECT_GT(stats.cpu_usage_us(), 0u);
  EXPECT_EQ(cgroup->oom_kills(), 0u);
}

}  // namespace
}  // namespace agentvm::guest
