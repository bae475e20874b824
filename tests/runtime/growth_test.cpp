#include "runtime/growth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentvm::runtime {
namespace {

constexpr std::int64_t kMib = 1024 * 1024;

class PlanGrowth : public ::testing::Test {
 protected:
  void limit_memory(std::int64_t bytes) {
    resources_.memory = oci::MemoryResources{};
    resources_.memory->limit = bytes;
  }
  void limit_cpu(std::int64_t quota_us) {
    resources_.cpu = oci::CpuResources{};
    resources_.cpu->quota_us = quota_us;
  }
  std::optional<GrowthPlan> plan() {
    auto plan = plan_growth(resources_, vm_, 128);
    EXPECT_TRUE(plan) << plan.error().text();
    return plan ? *plan : std::nullopt;
  }

  oci::Resources resources_;
  VmRecord vm_{2, 512, "tcg", "/boot/vmlinux", 4, 4096};
};

TEST_F(PlanGrowth, IsNotNeededWhereTheVmIsLargeEnough) {
  EXPECT_EQ(plan(), std::nullopt);
  limit_memory(384 * kMib);
  limit_cpu(200'000);
  EXPECT_EQ(plan(), std::nullopt);
  limit_memory(-1);
  limit_cpu(-1);
  EXPECT_EQ(plan(), std::nullopt);
}

TEST_F(PlanGrowth, IsToTheLimitAndWhatTheGuestNeedsBesides) {
  limit_memory(1024 * kMib + 1);
  EXPECT_EQ(plan(), (GrowthPlan{{2, 1153}, true}));
  limit_memory(4000 * kMib);
  EXPECT_EQ(plan(), (GrowthPlan{{2, 4096}, true})) << "all it can have";
  limit_memory(500 * kMib);
  EXPECT_EQ(plan(), (GrowthPlan{{2, 628}, false})) << "the limit fits already";
}

TEST_F(PlanGrowth, GivesTheVcpusThatTheQuotaLetsItUse) {
  limit_cpu(250'000);
  EXPECT_EQ(plan(), (GrowthPlan{{3, 512}, true}));
  limit_cpu(900'000);
  EXPECT_EQ(plan(), (GrowthPlan{{4, 512}, true})) << "cut, as at create";
  resources_.cpu->cpus = "0-2";
  EXPECT_EQ(plan(), (GrowthPlan{{3, 512}, true}));
  resources_.cpu->cpus = "2-0";
  EXPECT_FALSE(plan_growth(resources_, vm_, 128));
}

TEST_F(PlanGrowth, RefusesWhatTheVmCanNeverHold) {
  limit_memory(5000 * kMib);
  const auto refused = plan_growth(resources_, vm_, 128);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::invalid_argument);
  EXPECT_EQ(refused.error().text(),
            "memory limit of 5000 MiB is above the 4096 MiB that the container's VM can grow to, "
            "as decided when it was created (vm.max_memory_mib in /etc/agentvm/config.toml, the "
            "host's memory): choose a lower limit, or create the container anew");
  limit_memory(std::numeric_limits<std::int64_t>::max());
  EXPECT_FALSE(plan_growth(resources_, vm_, 128));
}

// Of a version that knew nothing of growing.
TEST_F(PlanGrowth, ARecordWithoutBoundsIsOfAVmThatStaysAsItIs) {
  vm_.max_vcpus = 0;
  vm_.max_memory_mib = 0;
  limit_memory(500 * kMib);
  limit_cpu(400'000);
  EXPECT_EQ(plan(), std::nullopt);
  limit_memory(513 * kMib);
  EXPECT_FALSE(plan_growth(resources_, vm_, 128));
}

TEST(SizeText, IsReadAsItWasWritten) {
  const vmm::MachineSize size{3, 70'000};
  EXPECT_EQ(*parse_size(write_size(size)), size);
  for (const char* text : {"", "1", "1 2 3", "a 1", "1 -1", "1 99999999999", "-1 1", "1 2x"}) {
    EXPECT_FALSE(parse_size(text)) << text;
  }
}

}  // namespace
}  // namespace agentvm::runtime
