#include "runtime/host_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/cgroup_writes.h"
#include "runtime/scope_properties.h"

namespace agentvm::runtime {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::int64_t kMib = 1024 * 1024;

std::vector<std::string> lines(const std::vector<CgroupWrite>& writes) {
  std::vector<std::string> lines;
  for (const CgroupWrite& write : writes) {
    lines.push_back(write.choices.front().file + "=" + write.choices.front().value);
  }
  return lines;
}

TEST(HostLimits, BoundTheWholeVmAlsoWithoutALimitOfTheContainer) {
  const auto plan = plan_host_limits({}, 512, 256);
  EXPECT_EQ(plan.limits.memory, 768 * kMib);
  EXPECT_EQ(plan.limits.memory_and_swap, std::nullopt);
  EXPECT_EQ(plan.limits.pids, kPidsCeiling);
  EXPECT_THAT(plan.notes, IsEmpty());
}

TEST(HostLimits, KeepTheSwapThatTheContainerMayUse) {
  oci::Resources resources;
  resources.memory = oci::MemoryResources{};
  resources.memory->limit = 100 * kMib;
  resources.memory->swap = 150 * kMib;
  resources.memory->reservation = 50 * kMib;
  auto plan = plan_host_limits(resources, 228, 256);
  EXPECT_EQ(plan.limits.memory, 484 * kMib);
  EXPECT_EQ(plan.limits.memory_and_swap, 534 * kMib);
  EXPECT_EQ(plan.limits.memory_reservation, 50 * kMib);
  resources.memory->swap = -1;
  plan = plan_host_limits(resources, 228, 256);
  EXPECT_EQ(plan.limits.memory_and_swap, -1);
}

TEST(HostLimits, TakeCpuAndBlockIoAsTheyAreAndNoteTheRest) {
  oci::Resources resources;
  resources.cpu = oci::CpuResources{};
  resources.cpu->shares = 512;
  resources.cpu->quota_us = 50'000;
  resources.cpu->period_us = 100'000;
  resources.cpu->realtime_runtime_us = 1;
  resources.cpu->cpus = "0-1";
  resources.pids_limit = 10;
  resources.network = oci::NetworkResources{};
  resources.rdma["mlx"] = {};
  const auto plan = plan_host_limits(resources, 512, 0);
  EXPECT_EQ(plan.limits.cpu_shares, 512U);
  EXPECT_EQ(plan.limits.cpu_quota_us, 50'000);
  EXPECT_EQ(plan.limits.cpus, "0-1");
  EXPECT_EQ(plan.limits.pids, kPidsCeiling) << "the container's own limit is the guest's to keep";
  EXPECT_THAT(plan.notes, ElementsAre(HasSubstr("realtimeRuntime"), HasSubstr("network classID"),
                                      HasSubstr("rdma limits")));
}

TEST(HostLimits, OfAnUpdateLeaveMemoryAndPidsAlone) {
  oci::Resources resources;
  resources.memory = oci::MemoryResources{};
  resources.memory->limit = 100 * kMib;
  resources.cpu = oci::CpuResources{};
  resources.cpu->shares = 2;
  const auto plan = plan_host_update(resources);
  HostLimits expected;
  expected.pids.reset();
  expected.cpu_shares = 2;
  EXPECT_EQ(plan.limits, expected);
}

TEST(CgroupWrites, AreInTheKernelsOrder) {
  HostLimits limits;
  limits.memory = 100;
  limits.memory_and_swap = 150;
  limits.cpu_shares = 1024;
  limits.cpu_quota_us = 5000;
  limits.cpu_period_us = 10'000;
  limits.cpus = "0";
  limits.mems = "0";
  EXPECT_THAT(lines(plan_writes_v1(limits)),
              ElementsAre("memory.limit_in_bytes=100", "memory.memsw.limit_in_bytes=150",
                          "cpu.shares=1024", "cpu.cfs_period_us=10000", "cpu.cfs_quota_us=5000",
                          "cpuset.cpus=0", "cpuset.mems=0", "pids.max=4096"));
  EXPECT_THAT(lines(plan_writes_v2(limits)),
              ElementsAre("memory.max=100", "memory.swap.max=50", "cpu.weight=39",
                          "cpu.max=5000 10000", "cpuset.cpus=0", "cpuset.mems=0", "pids.max=4096"));
}

TEST(CgroupWrites, SayNoLimitInEachVersionsWords) {
  HostLimits limits;
  limits.pids = -1;
  limits.memory_and_swap = -1;
  limits.cpu_quota_us = -1;
  EXPECT_THAT(lines(plan_writes_v1(limits)),
              ElementsAre("memory.memsw.limit_in_bytes=-1", "cpu.cfs_quota_us=-1", "pids.max=max"));
  EXPECT_THAT(lines(plan_writes_v2(limits)),
              ElementsAre("memory.swap.max=max", "cpu.max=max", "pids.max=max"));
}

TEST(CgroupWrites, SetBlockIoOfTheHostsDevices) {
  HostLimits limits;
  limits.pids.reset();
  limits.block_io = oci::BlockIoResources{};
  limits.block_io->weight = 500;
  limits.block_io->weight_device = {{.major = 8, .minor = 0, .weight = 10, .leaf_weight = {}}};
  limits.block_io->throttle_read_bps_device = {{.major = 8, .minor = 0, .rate = 1024}};
  limits.block_io->throttle_write_iops_device = {{.major = 8, .minor = 16, .rate = 0}};
  EXPECT_THAT(lines(plan_writes_v1(limits)),
              ElementsAre("blkio.bfq.weight=500", "blkio.bfq.weight_device=8:0 10",
                          "blkio.throttle.read_bps_device=8:0 1024",
                          "blkio.throttle.write_iops_device=8:16 0"));
  EXPECT_THAT(lines(plan_writes_v2(limits)),
              ElementsAre("io.bfq.weight=default 500", "io.bfq.weight=8:0 10",
                          "io.max=8:0 rbps=1024", "io.max=8:16 wiops=max"));
  EXPECT_EQ(plan_writes_v2(limits)[0].choices[1].value, "default 4950");
}

TEST(CgroupWrites, MeetAtTheEndsOfBothScales) {
  EXPECT_EQ(cpu_weight_of_shares(2), 1U);
  EXPECT_EQ(cpu_weight_of_shares(262'144), 10'000U);
  EXPECT_EQ(cpu_weight_of_shares(0), 1U);
  EXPECT_EQ(io_weight_of_blkio(10), 1U);
  EXPECT_EQ(io_weight_of_blkio(1000), 10'000U);
}

TEST(ScopeProperties, AreWhatSystemdCallsTheLimits) {
  HostLimits limits;
  limits.memory = 100;
  limits.cpu_shares = 1024;
  limits.cpu_quota_us = 12'345;
  limits.memory_and_swap = -1;
  const auto v2 = scope_properties("system.slice", "agentvm container web", limits, true);
  EXPECT_THAT(v2, Contains(ScopeProperty{"Slice", std::string("system.slice")}));
  EXPECT_THAT(v2, Contains(ScopeProperty{"Delegate", true}));
  EXPECT_THAT(v2, Contains(ScopeProperty{"MemoryMax", std::uint64_t{100}}));
  EXPECT_THAT(v2, Contains(ScopeProperty{"MemorySwapMax", ~std::uint64_t{0}}));
  EXPECT_THAT(v2, Contains(ScopeProperty{"CPUWeight", std::uint64_t{39}}));
  EXPECT_THAT(v2, Contains(ScopeProperty{"CPUQuotaPerSecUSec", std::uint64_t{130'000}}));
  EXPECT_THAT(v2, Contains(ScopeProperty{"TasksMax", std::uint64_t{4096}}));
  const auto v1 = limit_properties(limits, false);
  EXPECT_THAT(v1, Contains(ScopeProperty{"MemoryLimit", std::uint64_t{100}}));
  EXPECT_THAT(v1, Contains(ScopeProperty{"CPUShares", std::uint64_t{1024}}));
}

}  // namespace
}  // namespace agentvm::runtime
