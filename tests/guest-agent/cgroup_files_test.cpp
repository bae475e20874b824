#include "guest-agent/cgroup_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "guest-agent/cgroup_events.h"

namespace agentvm::guest {
namespace {

TEST(CgroupFiles, ReadsNumbersAndMax) {
  EXPECT_EQ(parse_number("17\n"), 17u);
  EXPECT_EQ(parse_number("max\n"), std::numeric_limits<std::uint64_t>::max());
  for (const char* wrong : {"", "\n", "-1", "1x", "99999999999999999999", " 1"}) {
    EXPECT_EQ(parse_number(wrong), std::nullopt) << wrong;
  }
}

TEST(CgroupFiles, FindsAKeyAndNotItsLongerSister) {
  const std::string_view text = "oom 3\noom_kill 5\nlow 0\n";
  EXPECT_EQ(keyed_number(text, "oom_kill"), 5u);
  EXPECT_EQ(keyed_number(text, "oom"), 3u);
  EXPECT_EQ(keyed_number(text, "high"), std::nullopt);
}

TEST(CgroupFiles, ReadsTheFlagsOfCgroupEvents) {
  EXPECT_EQ(*parse_cgroup_event("populated 1\nfrozen 0\n", "populated"), true);
  EXPECT_EQ(*parse_cgroup_event("populated 1\nfrozen 0\n", "frozen"), false);
  EXPECT_EQ(parse_cgroup_event("populated 1\n", "frozen").error().text(),
            "cgroup.events has no 'frozen'");
}

}  // namespace
}  // namespace agentvm::guest
