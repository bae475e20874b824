#include "guest-agent/docker.h"

#include <gtest/gtest.h>

namespace agentvm::guest {
namespace {

TEST(DockerGroup, IsFoundByItsName) {
  constexpr std::string_view kGroups =
      "root:x:0:\ndockerroot:x:5:\ndocker:x:999:agent,other\ndocker:x:7:\n";
  EXPECT_EQ(group_in(kGroups, "docker"), 999U);
  EXPECT_EQ(group_in(kGroups, "dockerroot"), 5U);
}

TEST(DockerGroup, IsRootsWhereThereIsNoneOrItIsNoNumber) {
  for (const char* text : {"", "docker", "docker:x", "docker:x:", "docker:x:-1:", "docker:x:1x:",
                           "docker:x:99999999999:", "x:docker:4:"}) {
    EXPECT_EQ(group_in(text, "docker"), 0U) << text;
  }
}

}  // namespace
}  // namespace agentvm::guest
