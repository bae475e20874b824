#include "shim/state_root.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "tests/temp_dir.h"

namespace agentvm::shim {
namespace {

namespace fs = std::filesystem;

class HeldRoot : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "a state root is root's";
  }
  TempDir scratch_;
  const std::string path_ = scratch_ / "roots/default";
};

TEST_F(HeldRoot, GoesWithTheLastWhoHoldsIt) {
  auto first = HeldStateRoot::hold(path_);
  ASSERT_TRUE(first) << first.error().text();
  auto second = HeldStateRoot::hold(path_);
  ASSERT_TRUE(second) << second.error().text();
  first->release();
  EXPECT_TRUE(fs::exists(path_));
  second->release();
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_FALSE(fs::exists(scratch_ / "roots"));
}

TEST_F(HeldRoot, StaysWhileThereIsSomethingInIt) {
  auto held = HeldStateRoot::hold(path_);
  ASSERT_TRUE(held);
  fs::create_directory(path_ + "/web");
  held->release();
  EXPECT_TRUE(fs::exists(path_ + "/web"));
}

TEST_F(HeldRoot, IsMadeAgain) {
  auto first = HeldStateRoot::hold(path_);
  ASSERT_TRUE(first);
  first->release();
  auto second = HeldStateRoot::hold(path_);
  ASSERT_TRUE(second) << second.error().text();
  EXPECT_TRUE(fs::exists(path_));
}

}  // namespace
}  // namespace agentvm::shim
