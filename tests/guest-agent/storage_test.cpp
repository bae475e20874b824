#include "guest-agent/storage.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {
namespace {

class StorageTest : public testing::Test {
 protected:
  // The mounts of a test are in a mount namespace of this process's own.
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    place_ = testing::TempDir() + "agentvm-storage-" + std::to_string(::getpid());
    reaper_.emplace(io_.get_executor());
    table_.emplace(*reaper_);
  }
  void TearDown() override { ::rmdir(place_.c_str()); }

  Result<void> run(Task<void> task) {
    io_.restart();
    return run_to_end(io_, std::move(task));
  }
  StorageOrder memory() const { return {"tmpfs", "", place_, "", {"size=1m", "mode=0700"}}; }
  bool is_mounted() const {
    return sys::read_file("/proc/self/mounts", 1 << 20)->find(" " + place_ + " ") !=
           std::string::npos;
  }

  std::string place_;
  asio::io_context io_;
  std::optional<Reaper> reaper_;
  std::optional<StorageTable> table_;
};

TEST_F(StorageTest, IsMountedOnceAndGoesWithItsLastUser) {
  ASSERT_TRUE(run(table_->acquire(memory())).has_value());
  ASSERT_TRUE(run(table_->acquire(memory())).has_value());
  EXPECT_EQ(table_->mounted(), 1u);
  ASSERT_TRUE(run(table_->release(place_)).has_value());
  EXPECT_TRUE(is_mounted());
  ASSERT_TRUE(run(table_->release(place_)).has_value());
  EXPECT_FALSE(is_mounted());
  EXPECT_NE(::access(place_.c_str(), F_OK), 0);
}

TEST_F(StorageTest, TwoOrdersAtOnceMountOnce) {
  const auto both = [](StorageTable& table, StorageOrder order) -> Task<void> {
    const auto executor = co_await asio::this_coro::executor;
    Event first_done(executor);
    Result<void> first;
    spawn<void>(executor, table.acquire(order), [&](Result<void> outcome) {
      first = std::move(outcome);
      first_done.set();
    });
    auto second = co_await table.acquire(order);
    co_await first_done.wait();
    CO_TRY(std::move(first));
    co_return second;
  };
  ASSERT_TRUE(run(both(*table_, memory())).has_value());
  EXPECT_EQ(table_->mounted(), 1u);
  ASSERT_TRUE(run(table_->release(place_)).has_value());
  ASSERT_TRUE(run(table_->release(place_)).has_value());
  EXPECT_FALSE(is_mounted());
}

TEST_F(StorageTest, AnotherOrderForTheSamePlaceIsRefused) {
  ASSERT_TRUE(run(table_->acquire(memory())).has_value());
  StorageOrder other = memory();
  other.options = {"size=2m"};
  const auto refused = run(table_->acquire(other));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().text(), "storage: something else is mounted at '" + place_ + "'");
  ASSERT_TRUE(run(table_->release(place_)).has_value());
}

TEST_F(StorageTest, AFailedMountIsNotRemembered) {
  StorageOrder order = memory();
  order.options = {"no-such-option"};
  const auto failed = run(table_->acquire(order));
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().text(),
            "mount storage '" + place_ + "': mount tmpfs 'tmpfs': Invalid argument");
  EXPECT_EQ(table_->mounted(), 0u);
  EXPECT_EQ(run(table_->release(place_)).error().text(), "no storage at '" + place_ + "'");
}

TEST_F(StorageTest, StaysUsableWhileAnotherProcessHoldsAFile) {
  ASSERT_TRUE(run(table_->acquire(memory())).has_value());
  auto file = sys::open_at(AT_FDCWD, place_ + "/file", O_CREAT | O_RDWR, 0600);
  ASSERT_TRUE(file.has_value());
  ASSERT_TRUE(run(table_->release(place_)).has_value());
  EXPECT_FALSE(is_mounted());
}

}  // namespace
}  // namespace agentvm::guest
