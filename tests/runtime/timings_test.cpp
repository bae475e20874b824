#include "runtime/timings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentvm::runtime {
namespace {

using ::testing::HasSubstr;

TEST(Timings, AreToldInTheOrderInWhichTheyHappened) {
  const std::uint64_t now = monotonic_ns();
  Timings timings;
  constexpr std::uint64_t kMs = 1'000'000;
  timings.mark_at("second", now + 10'000 * kMs);
  timings.mark_at("third", now + 12'500 * kMs);
  timings.mark_at("first", now + 5'000 * kMs);
  const std::string table = timings.table();
  EXPECT_LT(table.find("first"), table.find("second"));
  EXPECT_LT(table.find("second"), table.find("third"));
  EXPECT_THAT(table, HasSubstr("   2500.0  third\n"));
}

TEST(Timings, OfAnotherProcessAreTakenOver) {
  Timings monitor;
  monitor.mark("QEMU answers");
  monitor.mark("guest's agent has dialed in");
  Timings command;
  ASSERT_TRUE(command.take(monitor.encode()));
  EXPECT_EQ(command.moments(), monitor.moments());
}

TEST(Timings, RefuseWhatIsNone) {
  for (const char* text : {"x\n", "12\n", " name\n", "12x name\n", "99999999999999999999 name\n"}) {
    Timings timings;
    EXPECT_FALSE(timings.take(text)) << text;
  }
}

}  // namespace
}  // namespace agentvm::runtime
