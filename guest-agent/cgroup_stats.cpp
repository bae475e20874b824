#include "guest-agent/cgroup_stats.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <string_view>

#include "guest-agent/cgroup_files.h"
#include "oci/base/sys.h"

namespace agentvm::guest {

namespace {

using Stats = agent::v1::ContainerStatsResponse;

constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();
// The answer has a bounded size whatever the guest holds.
constexpr int kMaxDevices = 256;
constexpr std::size_t kMaxMemoryStats = 256;

std::string text_of(const std::string& path, std::string_view name) {
  return sys::read_file(fmt::format("{}/{}", path, name), kMaxCgroupFile).value_or("");
}

std::uint64_t number_of(const std::string& path, std::string_view name, std::uint64_t otherwise) {
  return read_number(path, name).value_or(otherwise);
}

void read_cpu(const std::string& path, Stats& stats) {
  const std::string text = text_of(path, "cpu.stat");
  const auto number = [&](std::string_view key) { return keyed_number(text, key).value_or(0); };
  stats.set_cpu_usage_us(number("usage_usec"));
  stats.set_cpu_user_us(number("user_usec"));
  stats.set_cpu_system_us(number("system_usec"));
  stats.set_cpu_periods(number("nr_periods"));
  stats.set_cpu_throttled_periods(number("nr_throttled"));
  stats.set_cpu_throttled_us(number("throttled_usec"));
}

void read_memory(const std::string& path, Stats& stats) {
  stats.set_memory_usage(number_of(path, "memory.current", 0));
  stats.set_memory_max_usage(number_of(path, "memory.peak", 0));
  stats.set_memory_limit(number_of(path, "memory.max", kNoLimit));
  stats.set_swap_usage(number_of(path, "memory.swap.current", 0));
  stats.set_swap_limit(number_of(path, "memory.swap.max", kNoLimit));
  const std::string events = text_of(path, "memory.events");
  stats.set_memory_failcnt(keyed_number(events, "max").value_or(0));
  stats.set_oom_kills(keyed_number(events, "oom_kill").value_or(0));
  const std::string text = text_of(path, "memory.stat");
  auto& memory_stat = *stats.mutable_memory_stat();
  for (const std::string_view line : lines_of(text)) {
    const std::size_t blank = line.find(' ');
    if (blank == std::string_view::npos || memory_stat.size() >= kMaxMemoryStats) continue;
    const auto value = parse_number(line.substr(blank + 1));
    if (value) memory_stat[std::string(line.substr(0, blank))] = *value;
  }
}

// "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0"
void read_block_io(const std::string& path, Stats& stats) {
  const std::string text = text_of(path, "io.stat");
  for (std::string_view line : lines_of(text)) {
    const std::size_t colon = line.find(':');
    const std::size_t blank = line.find(' ');
    if (blank == std::string_view::npos || colon > blank) continue;
    const auto major = parse_number(line.substr(0, colon));
    const auto minor = parse_number(line.substr(colon + 1, blank - colon - 1));
    if (!major || !minor || stats.block_io_size() >= kMaxDevices) continue;
    auto& device = *stats.add_block_io();
    device.set_major(*major);
    device.set_minor(*minor);
    line.remove_prefix(blank);
    const auto number = [line](std::string_view key) -> std::uint64_t {
      const std::size_t at = line.find(key);
      if (at == std::string_view::npos) return 0;
      const std::string_view rest = line.substr(at + key.size());
      return parse_number(rest.substr(0, rest.find(' '))).value_or(0);
    };
    device.set_read_bytes(number(" rbytes="));
    device.set_write_bytes(number(" wbytes="));
    device.set_read_ios(number(" rios="));
    device.set_write_ios(number(" wios="));
  }
}

void read_huge_pages(const std::string& path, const std::set<std::string>& page_sizes,
                     Stats& stats) {
  for (const std::string& size : page_sizes) {
    const auto usage = read_number(path, fmt::format("hugetlb.{}.current", size));
    if (!usage) continue;
    auto& pages = *stats.add_huge_pages();
    pages.set_page_size(size);
    pages.set_usage(*usage);
    const std::string events = text_of(path, fmt::format("hugetlb.{}.events", size));
    pages.set_failcnt(keyed_number(events, "max").value_or(0));
  }
}

}  // namespace

Stats read_cgroup_stats(const std::string& path, const std::set<std::string>& page_sizes) {
  Stats stats;
  read_cpu(path, stats);
  read_memory(path, stats);
  stats.set_pids_current(number_of(path, "pids.current", 0));
  stats.set_pids_limit(number_of(path, "pids.max", kNoLimit));
  read_block_io(path, stats);
  read_huge_pages(path, page_sizes, stats);
  return stats;
}

}  // namespace agentvm::guest
