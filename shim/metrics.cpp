#include "shim/metrics.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <limits>

#include "rpc/containerd/metrics_v1.pb.h"
#include "rpc/containerd/metrics_v2.pb.h"
#include "rpc/payload.h"

namespace agentvm::shim {

namespace v1 = ::io::containerd::cgroups::v1;
namespace v2 = ::io::containerd::cgroups::v2;

namespace {

using Stats = agent::v1::ContainerStatsResponse;

constexpr std::uint64_t kNanoseconds = 1000;  // of a microsecond
// The largest number of whole pages: what v1 has where there is no limit.
constexpr std::uint64_t kNoLimitV1 = 0x7ffffffffffff000;

std::uint64_t stat(const Stats& stats, const char* name) {
  const auto found = stats.memory_stat().find(name);
  return found == stats.memory_stat().end() ? 0 : found->second;
}

// "max" is no number of processes; containerd has 0 for it.
std::uint64_t pids_limit(const Stats& stats) {
  return stats.pids_limit() == std::numeric_limits<std::uint64_t>::max() ? 0 : stats.pids_limit();
}

void fill_cpu(const Stats& stats, v1::CPUStat& cpu) {
  cpu.mutable_usage()->set_total(stats.cpu_usage_us() * kNanoseconds);
  cpu.mutable_usage()->set_kernel(stats.cpu_system_us() * kNanoseconds);
  cpu.mutable_usage()->set_user(stats.cpu_user_us() * kNanoseconds);
  cpu.mutable_throttling()->set_periods(stats.cpu_periods());
  cpu.mutable_throttling()->set_throttled_periods(stats.cpu_throttled_periods());
  cpu.mutable_throttling()->set_throttled_time(stats.cpu_throttled_us() * kNanoseconds);
}

// v1 has two of each: of the cgroup alone, and with those below it, which v2 counts always.
#define AGENTVM_BOTH(member, name)        \
  memory.set_##member(stat(stats, name)); \
  memory.set_total_##member(stat(stats, name))

void fill_memory(const Stats& stats, v1::MemoryStat& memory) {
  AGENTVM_BOTH(cache, "file");
  AGENTVM_BOTH(rss, "anon");
  AGENTVM_BOTH(rss_huge, "anon_thp");
  AGENTVM_BOTH(mapped_file, "file_mapped");
  AGENTVM_BOTH(dirty, "file_dirty");
  AGENTVM_BOTH(writeback, "file_writeback");
  AGENTVM_BOTH(pg_fault, "pgfault");
  AGENTVM_BOTH(pg_maj_fault, "pgmajfault");
  AGENTVM_BOTH(inactive_anon, "inactive_anon");
  AGENTVM_BOTH(active_anon, "active_anon");
  AGENTVM_BOTH(inactive_file, "inactive_file");
  AGENTVM_BOTH(active_file, "active_file");
  AGENTVM_BOTH(unevictable, "unevictable");
  const std::uint64_t limit = std::min(stats.memory_limit(), kNoLimitV1);
  memory.set_hierarchical_memory_limit(limit);
  memory.mutable_usage()->set_usage(stats.memory_usage());
  memory.mutable_usage()->set_limit(limit);
  memory.mutable_usage()->set_max(stats.memory_max_usage());
  memory.mutable_usage()->set_failcnt(stats.memory_failcnt());
  // In v1 this is memory and swap together.
  memory.mutable_swap()->set_usage(stats.memory_usage() + stats.swap_usage());
  const bool bounded = stats.memory_limit() < kNoLimitV1 && stats.swap_limit() < kNoLimitV1;
  memory.mutable_swap()->set_limit(bounded ? stats.memory_limit() + stats.swap_limit()
                                           : kNoLimitV1);
}

#undef AGENTVM_BOTH

void fill_block_io(const Stats& stats, v1::BlkIOStat& block) {
  const auto add = [](auto& list, const auto& device, const char* op, std::uint64_t value) {
    auto& entry = *list.Add();
    entry.set_op(op);
    entry.set_major(device.major());
    entry.set_minor(device.minor());
    entry.set_value(value);
  };
  for (const auto& device : stats.block_io()) {
    add(*block.mutable_io_service_bytes_recursive(), device, "Read", device.read_bytes());
    add(*block.mutable_io_service_bytes_recursive(), device, "Write", device.write_bytes());
    add(*block.mutable_io_serviced_recursive(), device, "Read", device.read_ios());
    add(*block.mutable_io_serviced_recursive(), device, "Write", device.write_ios());
  }
}

v1::Metrics make_v1(const Stats& stats) {
  v1::Metrics metrics;
  metrics.mutable_pids()->set_current(stats.pids_current());
  metrics.mutable_pids()->set_limit(pids_limit(stats));
  fill_cpu(stats, *metrics.mutable_cpu());
  fill_memory(stats, *metrics.mutable_memory());
  fill_block_io(stats, *metrics.mutable_blkio());
  metrics.mutable_memory_oom_control()->set_oom_kill(stats.oom_kills());
  for (const auto& size : stats.huge_pages()) {
    auto& entry = *metrics.add_hugetlb();
    entry.set_usage(size.usage());
    entry.set_failcnt(size.failcnt());
    entry.set_pagesize(size.page_size());
  }
  return metrics;
}

void fill_memory(const Stats& stats, v2::MemoryStat& memory) {
#define AGENTVM_SAME(name) memory.set_##name(stat(stats, #name))
  AGENTVM_SAME(anon);
  AGENTVM_SAME(file);
  AGENTVM_SAME(kernel_stack);
  AGENTVM_SAME(slab);
  AGENTVM_SAME(sock);
  AGENTVM_SAME(shmem);
  AGENTVM_SAME(file_mapped);
  AGENTVM_SAME(file_dirty);
  AGENTVM_SAME(file_writeback);
  AGENTVM_SAME(anon_thp);
  AGENTVM_SAME(inactive_anon);
  AGENTVM_SAME(active_anon);
  AGENTVM_SAME(inactive_file);
  AGENTVM_SAME(active_file);
  AGENTVM_SAME(unevictable);
  AGENTVM_SAME(slab_reclaimable);
  AGENTVM_SAME(slab_unreclaimable);
  AGENTVM_SAME(pgfault);
  AGENTVM_SAME(pgmajfault);
  AGENTVM_SAME(pgrefill);
  AGENTVM_SAME(pgscan);
  AGENTVM_SAME(pgsteal);
  AGENTVM_SAME(pgactivate);
  AGENTVM_SAME(pgdeactivate);
  AGENTVM_SAME(pglazyfree);
  AGENTVM_SAME(pglazyfreed);
  AGENTVM_SAME(thp_fault_alloc);
  AGENTVM_SAME(thp_collapse_alloc);
#undef AGENTVM_SAME
  memory.set_usage(stats.memory_usage());
  memory.set_usage_limit(stats.memory_limit());
  memory.set_max_usage(stats.memory_max_usage());
  memory.set_swap_usage(stats.swap_usage());
  memory.set_swap_limit(stats.swap_limit());
}

v2::Metrics make_v2(const Stats& stats) {
  v2::Metrics metrics;
  metrics.mutable_pids()->set_current(stats.pids_current());
  metrics.mutable_pids()->set_limit(pids_limit(stats));
  auto& cpu = *metrics.mutable_cpu();
  cpu.set_usage_usec(stats.cpu_usage_us());
  cpu.set_user_usec(stats.cpu_user_us());
  cpu.set_system_usec(stats.cpu_system_us());
  cpu.set_nr_periods(stats.cpu_periods());
  cpu.set_nr_throttled(stats.cpu_throttled_periods());
  cpu.set_throttled_usec(stats.cpu_throttled_us());
  fill_memory(stats, *metrics.mutable_memory());
  metrics.mutable_memory_events()->set_max(stats.memory_failcnt());
  metrics.mutable_memory_events()->set_oom_kill(stats.oom_kills());
  for (const auto& device : stats.block_io()) {
    auto& entry = *metrics.mutable_io()->add_usage();
    entry.set_major(device.major());
    entry.set_minor(device.minor());
    entry.set_rbytes(device.read_bytes());
    entry.set_wbytes(device.write_bytes());
    entry.set_rios(device.read_ios());
    entry.set_wios(device.write_ios());
  }
  for (const auto& size : stats.huge_pages()) {
    auto& entry = *metrics.add_hugetlb();
    entry.set_current(size.usage());
    entry.set_pagesize(size.page_size());
  }
  return metrics;
}

}  // namespace

bool host_is_unified() {
  struct statfs status{};
  return ::statfs("/sys/fs/cgroup", &status) == 0 &&
         static_cast<std::uint64_t>(status.f_type) == CGROUP2_SUPER_MAGIC;
}

containerd::types::Any make_metrics(const Stats& stats, bool unified) {
  containerd::types::Any any;
  if (unified) {
    any.set_type_url("io.containerd.cgroups.v2.Metrics");
    any.set_value(rpc::serialize(make_v2(stats)));
  } else {
    any.set_type_url("io.containerd.cgroups.v1.Metrics");
    any.set_value(rpc::serialize(make_v1(stats)));
  }
  return any;
}

}  // namespace agentvm::shim
