#include "shim/metrics.h"

#include <gtest/gtest.h>

#include <limits>

#include "rpc/containerd/metrics_v1.pb.h"
#include "rpc/containerd/metrics_v2.pb.h"
#include "rpc/payload.h"

namespace agentvm::shim {
namespace {

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();

agent::v1::ContainerStatsResponse sample() {
  agent::v1::ContainerStatsResponse stats;
  stats.set_cpu_usage_us(3000);
  stats.set_cpu_user_us(2000);
  stats.set_cpu_system_us(1000);
  stats.set_cpu_periods(5);
  stats.set_memory_usage(100);
  stats.set_memory_limit(1000);
  stats.set_swap_usage(7);
  stats.set_swap_limit(500);
  stats.set_pids_current(4);
  stats.set_pids_limit(kMax);
  stats.set_oom_kills(2);
  (*stats.mutable_memory_stat())["anon"] = 60;
  (*stats.mutable_memory_stat())["file"] = 40;
  (*stats.mutable_memory_stat())["pgfault"] = 9;
  auto& disk = *stats.add_block_io();
  disk.set_major(254);
  disk.set_read_bytes(4096);
  disk.set_write_ios(3);
  auto& pages = *stats.add_huge_pages();
  pages.set_page_size("2MB");
  pages.set_usage(11);
  return stats;
}

TEST(Metrics, OfAHostWithCgroupV1) {
  const auto any = make_metrics(sample(), false);
  EXPECT_EQ(any.type_url(), "io.containerd.cgroups.v1.Metrics");
  ::io::containerd::cgroups::v1::Metrics metrics;
  ASSERT_TRUE(rpc::deserialize(any.value(), metrics));
  EXPECT_EQ(metrics.cpu().usage().total(), 3'000'000U);
  EXPECT_EQ(metrics.cpu().usage().kernel(), 1'000'000U);
  EXPECT_EQ(metrics.cpu().throttling().periods(), 5U);
  EXPECT_EQ(metrics.memory().usage().usage(), 100U);
  EXPECT_EQ(metrics.memory().usage().limit(), 1000U);
  EXPECT_EQ(metrics.memory().swap().usage(), 107U);
  EXPECT_EQ(metrics.memory().swap().limit(), 1500U);
  EXPECT_EQ(metrics.memory().rss(), 60U);
  EXPECT_EQ(metrics.memory().total_cache(), 40U);
  EXPECT_EQ(metrics.memory().pg_fault(), 9U);
  EXPECT_EQ(metrics.memory_oom_control().oom_kill(), 2U);
  EXPECT_EQ(metrics.pids().current(), 4U);
  EXPECT_EQ(metrics.pids().limit(), 0U);
  ASSERT_EQ(metrics.blkio().io_service_bytes_recursive_size(), 2);
  EXPECT_EQ(metrics.blkio().io_service_bytes_recursive(0).op(), "Read");
  EXPECT_EQ(metrics.blkio().io_service_bytes_recursive(0).value(), 4096U);
  EXPECT_EQ(metrics.blkio().io_serviced_recursive(1).value(), 3U);
  EXPECT_EQ(metrics.hugetlb(0).usage(), 11U);
}

TEST(Metrics, OfAHostWithCgroupV1HaveItsNumberForNoLimit) {
  auto stats = sample();
  stats.set_memory_limit(kMax);
  stats.set_swap_limit(kMax);
  ::io::containerd::cgroups::v1::Metrics metrics;
  ASSERT_TRUE(rpc::deserialize(make_metrics(stats, false).value(), metrics));
  EXPECT_EQ(metrics.memory().usage().limit(), 0x7ffffffffffff000U);
  EXPECT_EQ(metrics.memory().swap().limit(), 0x7ffffffffffff000U);
}

TEST(Metrics, OfAHostWithCgroupV2) {
  const auto any = make_metrics(sample(), true);
  EXPECT_EQ(any.type_url(), "io.containerd.cgroups.v2.Metrics");
  ::io::containerd::cgroups::v2::Metrics metrics;
  ASSERT_TRUE(rpc::deserialize(any.value(), metrics));
  EXPECT_EQ(metrics.cpu().usage_usec(), 3000U);
  EXPECT_EQ(metrics.memory().anon(), 60U);
  EXPECT_EQ(metrics.memory().file(), 40U);
  EXPECT_EQ(metrics.memory().usage(), 100U);
  EXPECT_EQ(metrics.memory().usage_limit(), 1000U);
  EXPECT_EQ(metrics.memory_events().oom_kill(), 2U);
  EXPECT_EQ(metrics.pids().current(), 4U);
  EXPECT_EQ(metrics.io().usage(0).rbytes(), 4096U);
  EXPECT_EQ(metrics.hugetlb(0).pagesize(), "2MB");
}

}  // namespace
}  // namespace agentvm::shim
