#include "runtime/timings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "runtime/session/guest_moments.h"

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

using Told = google::protobuf::RepeatedPtrField<agent::v1::GuestMoment>;

void tell(Told& told, int step, std::uint32_t before_us) {
  agent::v1::GuestMoment& moment = *told.Add();
  moment.set_step(static_cast<agent::v1::GuestStep>(step));
  moment.set_before_us(before_us);
}

TEST(GuestMoments, AreCountedBackFromTheAnswer) {
  Told told;
  tell(told, agent::v1::GUEST_STEP_DIALED, 40'000);
  tell(told, agent::v1::GUEST_STEP_CONFIGURING, 10'000);
  Timings timings;
  std::this_thread::sleep_for(std::chrono::milliseconds(41));
  mark_guest(timings, told);
  ASSERT_EQ(timings.moments().size(), 2U);
  EXPECT_EQ(timings.moments()[0].name, "guest: host dialed");
  EXPECT_EQ(timings.moments()[1].at_ns - timings.moments()[0].at_ns, 30'000'000U);
}

TEST(GuestMoments, FromBeforeTheStartAreNoPartOfIt) {
  Told told;
  tell(told, agent::v1::GUEST_STEP_DIALED, 4'294'967'295U);
  Timings timings;
  mark_guest(timings, told);
  EXPECT_TRUE(timings.moments().empty());
}

TEST(GuestMoments, OfAHostileGuestAreFewAndKnown) {
  Told told;
  for (const int step : {0, -1, 99, 1 << 30}) tell(told, step, 0);
  for (int i = 0; i < 1000; ++i) tell(told, agent::v1::GUEST_STEP_DIALED, 0);
  Timings timings;
  mark_guest(timings, told);
  EXPECT_EQ(timings.moments().size(), 12U);  // of the first 16
}

}  // namespace
}  // namespace agentvm::runtime
