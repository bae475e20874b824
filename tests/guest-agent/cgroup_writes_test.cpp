#include "guest-agent/cgroup_writes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

// Each case names only the members that it is about.
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

namespace agentvm::guest {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

CgroupMachine full_machine() {
  CgroupMachine machine;
  machine.controllers = {"cpu", "cpuset", "memory", "pids", "io", "hugetlb", "rdma"};
  machine.cpus = 4;
  machine.memory_nodes = 1;
  machine.io_weight = true;
  machine.huge_page_sizes = {"2MB"};
  return machine;
}

// "file=value" of each write.
std::vector<std::string> written(const oci::Resources& resources,
                                 const CgroupMachine& machine = full_machine()) {
  const auto writes = writes_for(resources, machine);
  if (!writes) return {"error: " + writes.error().text()};
  std::vector<std::string> lines;
  for (const CgroupWrite& write : *writes) lines.push_back(write.file + "=" + write.value);
  return lines;
}

oci::Resources with(oci::MemoryResources memory) {
  oci::Resources resources;
  resources.memory = std::move(memory);
  return resources;
}

oci::Resources with(oci::CpuResources cpu) {
  oci::Resources resources;
  resources.cpu = std::move(cpu);
  return resources;
}

oci::Resources with(oci::BlockIoResources io) {
  oci::Resources resources;
  resources.block_io = std::move(io);
  return resources;
}

TEST(CgroupWrites, NothingGivenWritesNothing) {
  EXPECT_THAT(written(oci::Resources{}), IsEmpty());
  EXPECT_THAT(written(with(oci::MemoryResources{})), IsEmpty());
  EXPECT_THAT(written(with(oci::CpuResources{})), IsEmpty());
}

TEST(CgroupWrites, ZeroIsNotGivenAsRuncHasIt) {
  EXPECT_THAT(written(with(oci::MemoryResources{.limit = 0, .reservation = 0, .swap = 0})),
              IsEmpty());
  oci::Resources resources;
  resources.pids_limit = 0;
  EXPECT_THAT(written(resources), IsEmpty());
}

TEST(CgroupWrites, MemoryAndReservationAreBytes) {
  EXPECT_THAT(written(with(oci::MemoryResources{.limit = 1048576, .reservation = 4096})),
              ElementsAre("memory.max=1048576", "memory.low=4096"));
}

struct SwapCase {
  std::int64_t limit;
  std::int64_t swap;
  std::vector<std::string> writes;
};

TEST(CgroupWrites, SwapIsWhatV1CountsBeyondMemory) {
  const SwapCase cases[] = {
      {100, 300, {"memory.swap.max=200", "memory.max=100"}},
      {100, 100, {"memory.swap.max=0", "memory.max=100"}},
      {100, -1, {"memory.swap.max=max", "memory.max=100"}},
      {-1, 0, {"memory.swap.max=max", "memory.max=max"}},
      {-1, 500, {"memory.swap.max=500", "memory.max=max"}},
      {100, 0, {"memory.max=100"}},
      {0, 300, {"error: /linux/resources/memory/swap: a swap limit needs memory/limit too"}},
      {300, 100, {"error: /linux/resources/memory/swap: memory plus swap is below memory/limit"}},
      {100, -7, {"error: /linux/resources/memory/swap: -7 is not a limit"}},
      {-2, 0, {"error: /linux/resources/memory/limit: -2 is not a limit (-1 means none)"}},
  };
  for (const SwapCase& c : cases) {
    EXPECT_EQ(written(with(oci::MemoryResources{.limit = c.limit, .swap = c.swap})), c.writes)
        << c.limit << " " << c.swap;
  }
}

TEST(CgroupWrites, WithoutSwapAccountingOnlyARealAllowanceIsRefused) {
  CgroupMachine machine = full_machine();
  machine.swap_limit = false;
  EXPECT_THAT(written(with(oci::MemoryResources{.limit = 100, .swap = 100}), machine),
              ElementsAre("memory.max=100"));
  EXPECT_THAT(written(with(oci::MemoryResources{.limit = 100, .swap = 101}), machine),
              ElementsAre("error: /linux/resources/memory/swap: the guest's kernel has no swap "
                          "accounting"));
}

TEST(CgroupWrites, WhatV2CannotEnforceIsAnErrorThatNamesIt) {
  EXPECT_THAT(written(with(oci::MemoryResources{.swappiness = 10})),
              ElementsAre("error: /linux/resources/memory/swappiness: cgroup v2 has no swappiness "
                          "per cgroup"));
  EXPECT_THAT(written(with(oci::MemoryResources{.disable_oom_killer = true})),
              ElementsAre("error: /linux/resources/memory/disableOOMKiller: cgroup v2 cannot "
                          "disable the OOM killer"));
  EXPECT_THAT(written(with(oci::CpuResources{.realtime_runtime_us = 5})),
              ElementsAre("error: /linux/resources/cpu/realtimeRuntime: cgroup v2 has no realtime "
                          "limits"));
  oci::Resources net;
  net.network = oci::NetworkResources{.class_id = 1, .priorities = {}};
  EXPECT_THAT(written(net),
              ElementsAre("error: /linux/resources/network/classID: cgroup v2 has no net_cls"));
  net.network = oci::NetworkResources{.class_id = {}, .priorities = {{"eth0", 1}}};
  EXPECT_THAT(written(net),
              ElementsAre("error: /linux/resources/network/priorities: cgroup v2 has no net_prio"));
}

TEST(CgroupWrites, KernelMemoryIsIgnoredAsRuncDoesOnV2) {
  EXPECT_THAT(written(with(oci::MemoryResources{.kernel = 5, .kernel_tcp = 6})), IsEmpty());
}

TEST(CgroupWrites, AMissingControllerIsNamed) {
  CgroupMachine machine = full_machine();
  machine.controllers.erase("pids");
  oci::Resources resources;
  resources.pids_limit = 10;
  EXPECT_THAT(written(resources, machine),
              ElementsAre("error: /linux/resources/pids/limit: the guest's kernel has no 'pids' "
                          "cgroup controller"));
}

TEST(CgroupWrites, PidsLimitMinusOneIsMax) {
  oci::Resources resources;
  resources.pids_limit = -1;
  EXPECT_THAT(written(resources), ElementsAre("pids.max=max"));
  resources.pids_limit = 32;
  EXPECT_THAT(written(resources), ElementsAre("pids.max=32"));
}

TEST(CgroupWrites, SharesBecomeWeightsByRuncsCurve) {
  EXPECT_EQ(cpu_weight_of_shares(0), 1u);
  EXPECT_EQ(cpu_weight_of_shares(2), 1u);
  EXPECT_EQ(cpu_weight_of_shares(1024), 100u);
  EXPECT_EQ(cpu_weight_of_shares(262144), 10000u);
  EXPECT_EQ(cpu_weight_of_shares(1u << 30), 10000u);
  for (std::uint64_t shares = 2; shares < 262144; shares += 97) {
    EXPECT_LE(cpu_weight_of_shares(shares), cpu_weight_of_shares(shares + 97)) << shares;
  }
  EXPECT_THAT(written(with(oci::CpuResources{.shares = 1024})), ElementsAre("cpu.weight=100"));
}

TEST(CgroupWrites, QuotaAndPeriodAreOneFile) {
  EXPECT_THAT(written(with(oci::CpuResources{.quota_us = 50000})),
              ElementsAre("cpu.max=50000 100000"));
  EXPECT_THAT(written(with(oci::CpuResources{.quota_us = -1, .period_us = 200000})),
              ElementsAre("cpu.max=max 200000"));
  EXPECT_THAT(written(with(oci::CpuResources{.quota_us = -3})),
              ElementsAre("error: /linux/resources/cpu/quota: -3 is not a quota"));
}

TEST(CgroupWrites, BurstIsClearedBeforeTheQuotaChanges) {
  EXPECT_THAT(written(with(oci::CpuResources{.quota_us = 1000, .burst_us = 500})),
              ElementsAre("cpu.max.burst=0", "cpu.max=1000 100000", "cpu.max.burst=500"));
}

TEST(CgroupWrites, WeightComesBeforeIdle) {
  EXPECT_THAT(written(with(oci::CpuResources{.shares = 2, .idle = 1})),
              ElementsAre("cpu.weight=1", "cpu.idle=1"));
  EXPECT_THAT(written(with(oci::CpuResources{.idle = 2})),
              ElementsAre("error: /linux/resources/cpu/idle: must be 0 or 1"));
}

TEST(CgroupWrites, CpusetsAreCheckedAgainstTheGuest) {
  EXPECT_THAT(written(with(oci::CpuResources{.cpus = "0-1,3", .mems = "0"})),
              ElementsAre("cpuset.cpus=0-1,3", "cpuset.mems=0"));
  EXPECT_THAT(written(with(oci::CpuResources{.cpus = "0,7"})),
              ElementsAre("error: /linux/resources/cpu/cpus: 7 does not exist: the guest has 0-3"));
  for (const char* wrong : {"a", "1-", "-1", "2-1", "0,,1", ",", "0 1"}) {
    EXPECT_THAT(written(with(oci::CpuResources{.cpus = wrong})),
                ElementsAre(std::string("error: /linux/resources/cpu/cpus: '") + wrong +
                            "' is not a list such as \"0-2,4\""));
  }
}

TEST(CgroupWrites, BlockWeightsGoToBfqWhenThereIsOne) {
  EXPECT_THAT(written(with(oci::BlockIoResources{.weight = 10})), ElementsAre("io.weight=1"));
  EXPECT_THAT(written(with(oci::BlockIoResources{.weight = 1000})), ElementsAre("io.weight=10000"));
  CgroupMachine bfq = full_machine();
  bfq.io_bfq_weight = true;
  EXPECT_THAT(written(with(oci::BlockIoResources{.weight = 500}), bfq),
              ElementsAre("io.bfq.weight=500"));
  CgroupMachine none = full_machine();
  none.io_weight = false;
  EXPECT_THAT(written(with(oci::BlockIoResources{.weight = 500}), none),
              ElementsAre("error: /linux/resources/blockIO/weight: the guest's kernel has no I/O "
                          "weights (neither BFQ nor iocost)"));
  EXPECT_THAT(written(with(oci::BlockIoResources{.weight = 5})),
              ElementsAre("error: /linux/resources/blockIO/weight: 5 is not within 10 to 1000"));
  EXPECT_THAT(written(with(oci::BlockIoResources{.leaf_weight = 10})),
              ElementsAre("error: /linux/resources/blockIO/leafWeight: cgroup v2 has no leaf "
                          "weights"));
}

TEST(CgroupWrites, ThrottlesAreOneWritePerDevice) {
  oci::BlockIoResources io;
  io.throttle_read_bps_device = {{8, 0, 1000}};
  io.throttle_write_bps_device = {{8, 16, 2000}};
  io.throttle_read_iops_device = {{8, 0, 30}};
  io.throttle_write_iops_device = {{8, 0, 0}};
  EXPECT_THAT(written(with(io)), ElementsAre("io.max=8:0 rbps=1000", "io.max=8:16 wbps=2000",
                                             "io.max=8:0 riops=30", "io.max=8:0 wiops=max"));
  io.throttle_read_bps_device = {{-8, 0, 1}};
  EXPECT_THAT(written(with(io)),
              ElementsAre("error: /linux/resources/blockIO/throttleReadBpsDevice: major and minor "
                          "may not be negative"));
}

TEST(CgroupWrites, HugePagesOfASizeTheGuestLacksNeedNoLimit) {
  oci::Resources resources;
  resources.hugepage_limits = {{"2MB", 4194304}, {"1GB", 0}};
  EXPECT_THAT(written(resources),
              ElementsAre("hugetlb.2MB.max=4194304", "hugetlb.2MB.rsvd.max=4194304"));
  resources.hugepage_limits = {{"2MB/../x", 1}};
  EXPECT_THAT(written(resources), ElementsAre("error: /linux/resources/hugepageLimits: page size "
                                              "'2MB/../x' is not like \"2MB\""));
}

TEST(CgroupWrites, RdmaNamesAreOneWord) {
  oci::Resources resources;
  resources.rdma["mlx5_1"] = {3, 10000};
  EXPECT_THAT(written(resources), ElementsAre("rdma.max=mlx5_1 hca_handle=3 hca_object=10000"));
  resources.rdma = {{"a b", {1, 1}}};
  EXPECT_THAT(written(resources),
              ElementsAre("error: /linux/resources/rdma: 'a b' is not a device name"));
}

TEST(CgroupWrites, UnifiedGoesLastAndOnlyToLimits) {
  oci::Resources resources;
  resources.pids_limit = 5;
  resources.unified = {{"memory.high", "1000"}, {"cgroup.max.depth", "3"}};
  EXPECT_THAT(written(resources),
              ElementsAre("pids.max=5", "cgroup.max.depth=3", "memory.high=1000"));
  for (const char* name : {"../memory.max", "a/b.c", "memory", ".x", ""}) {
    resources.unified = {{name, "1"}};
    EXPECT_THAT(written(resources),
                ElementsAre(std::string("error: /linux/resources/unified/") + name +
                            ": must be the name of a cgroup v2 file, without slashes"));
  }
  for (const char* name : {"cgroup.procs", "cgroup.freeze", "cgroup.subtree_control"}) {
    resources.unified = {{name, "1"}};
    EXPECT_THAT(written(resources), ElementsAre(std::string("error: /linux/resources/unified/") +
                                                name + ": is the runtime's own"));
  }
  resources.unified = {{"misc.max", "1"}};
  EXPECT_THAT(written(resources),
              ElementsAre("error: /linux/resources/unified/misc.max: the guest's kernel has no "
                          "'misc' cgroup controller"));
}

TEST(MergedResources, KeepsWhatTheUpdateDoesNotName) {
  oci::Resources base;
  base.memory = oci::MemoryResources{.limit = 100, .swap = 300};
  base.cpu = oci::CpuResources{.shares = 512, .quota_us = 1000, .period_us = 50000};
  base.pids_limit = 7;
  base.unified = {{"memory.high", "90"}};
  oci::Resources update;
  update.memory = oci::MemoryResources{.limit = 200, .swap = 0};
  update.cpu = oci::CpuResources{.shares = 0, .quota_us = 2000};
  update.pids_limit = 0;
  update.unified = {{"cpu.weight.nice", "3"}};
  const oci::Resources merged = merged_resources(base, update);
  EXPECT_EQ(merged.memory, (oci::MemoryResources{.limit = 200, .swap = 300}));
  EXPECT_EQ(merged.cpu, (oci::CpuResources{.shares = 512, .quota_us = 2000, .period_us = 50000}));
  EXPECT_EQ(merged.pids_limit, 7);
  EXPECT_EQ(merged.unified.size(), 2u);
}

TEST(MergedResources, UnlimitedMemoryLiftsTheSwapLimitToo) {
  oci::Resources base;
  base.memory = oci::MemoryResources{.limit = 100, .swap = 300};
  oci::Resources update;
  update.memory = oci::MemoryResources{.limit = -1};
  EXPECT_THAT(written(merged_resources(base, update)),
              ElementsAre("memory.swap.max=max", "memory.max=max"));
}

}  // namespace
}  // namespace agentvm::guest
