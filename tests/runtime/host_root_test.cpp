#include "runtime/host_root.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentvm::runtime {
namespace {

using testing::HasSubstr;

TEST(CheckHostRoot, TakesRootOfTheFirstUserNamespace) {
  EXPECT_TRUE(check_host_root(0, "         0          0 4294967295\n"));
}

TEST(CheckHostRoot, RefusesWhatRootlessEnginesAre) {
  const auto user = check_host_root(1000, "         0          0 4294967295\n");
  ASSERT_FALSE(user);
  EXPECT_THAT(user.error().text(), HasSubstr("running as uid 1000: a rootless container cannot be "
                                             "a VM: call agentvm, or the engine, as the host's "
                                             "root"));
  for (const char* map : {"0 1000 1\n1 100000 65536\n", "0 0 65536\n", "", "rubbish"}) {
    const auto mapped = check_host_root(0, map);
    ASSERT_FALSE(mapped) << map;
    EXPECT_THAT(mapped.error().text(), HasSubstr("running in a user namespace: a rootless"));
  }
}

}  // namespace
}  // namespace agentvm::runtime
