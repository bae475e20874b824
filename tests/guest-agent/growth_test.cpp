#include "guest-agent/growth.h"

#include <gtest/gtest.h>

namespace agentvm::guest {
namespace {

TEST(CountCpuList, CountsWhatTheKernelNames) {
  EXPECT_EQ(count_cpu_list("0\n"), 1U);
  EXPECT_EQ(count_cpu_list("0-3\n"), 4U);
  EXPECT_EQ(count_cpu_list("0-1,4,6-7\n"), 5U);
  EXPECT_EQ(count_cpu_list("\n"), 0U);
  for (const char* wrong : {"a", "1-", "-1", "3-1", "0-4294967295", "0x1"}) {
    EXPECT_EQ(count_cpu_list(wrong), std::nullopt) << wrong;
  }
}

TEST(TotalMemory, IsTheLineOfThatName) {
  EXPECT_EQ(total_memory_kib("MemTotal:         461416 kB\nMemFree: 1 kB\n"), 461416U);
  EXPECT_EQ(total_memory_kib("MemFree: 1 kB\n"), std::nullopt);
  EXPECT_EQ(total_memory_kib("MemTotal:\n"), std::nullopt);
  EXPECT_EQ(total_memory_kib("MemTotal: x kB\n"), std::nullopt);
}

TEST(GuestGrowthLimits, RefuseWhatNoHostAsksFor) {
  asio::io_context io(1);
  Reaper reaper(io.get_executor());
  GuestGrowth growth(reaper);
  agent::v1::GrowGuestRequest request;
  request.set_vcpus(8193);
  auto refused = run_to_end(io, growth.grow(request));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::invalid_argument);
  EXPECT_EQ(refused.error().text(), "grow: no guest becomes as large, or waits as long");
}

}  // namespace
}  // namespace agentvm::guest
