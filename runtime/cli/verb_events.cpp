#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <limits>
#include <thread>

#include "oci/base/json_writer.h"
#include "oci/base/log.h"
#include "oci/base/try.h"
#include "runtime/cli/verbs.h"
#include "runtime/container/inspect.h"

namespace agentvm::runtime::cli {

namespace {

using Stats = agent::v1::ContainerStatsResponse;

// As Go's time.ParseDuration for what people type here: a number with ms, s, m or h.
Result<std::chrono::milliseconds> parse_interval(const std::string& text) {
  std::uint32_t number = 0;
  const char* end = text.data() + text.size();
  const auto [unit, code] = std::from_chars(text.data(), end, number);
  const std::string_view suffix(unit, end);
  const std::uint64_t factor = suffix == "ms"  ? 1
                               : suffix == "s" ? 1000
                               : suffix == "m" ? 60'000
                               : suffix == "h" ? 3'600'000
                                               : 0;
  if (code != std::errc() || factor == 0 || number == 0) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("--interval '{}': expected a duration as 5s or 500ms", text));
  }
  return std::chrono::milliseconds(number * factor);
}

void write_memory_entry(JsonWriter& json, std::uint64_t usage, std::uint64_t max,
                        std::uint64_t limit, std::uint64_t failcnt) {
  json.begin_object();
  json.key("limit").value(limit);
  json.key("usage").value(usage);
  if (max != 0) json.key("max").value(max);
  json.key("failcnt").value(failcnt);
  json.end_object();
}

void write_cpu(JsonWriter& json, const Stats& stats) {
  json.key("cpu").begin_object();
  json.key("usage").begin_object();
  json.key("total").value(stats.cpu_usage_us() * 1000);
  json.key("kernel").value(stats.cpu_system_us() * 1000);
  json.key("user").value(stats.cpu_user_us() * 1000);
  json.end_object();
  json.key("throttling").begin_object();
  json.key("periods").value(stats.cpu_periods());
  json.key("throttledPeriods").value(stats.cpu_throttled_periods());
  json.key("throttledTime").value(stats.cpu_throttled_us() * 1000);
  json.end_object();
  json.end_object();
}

void write_memory(JsonWriter& json, const Stats& stats) {
  json.key("memory").begin_object();
  json.key("usage");
  write_memory_entry(json, stats.memory_usage(), stats.memory_max_usage(), stats.memory_limit(),
                     stats.memory_failcnt());
  json.key("swap");
  write_memory_entry(json, stats.swap_usage(), 0, stats.swap_limit(), 0);
  json.key("raw").begin_object();
  for (const auto& [name, value] : stats.memory_stat()) json.key(name).value(value);
  json.end_object();
  json.end_object();
}

void write_block_io(JsonWriter& json, const Stats& stats) {
  json.key("blkio").begin_object();
  json.key("ioServiceBytesRecursive").begin_array();
  for (const auto& device : stats.block_io()) {
    for (const auto& [op, value] :
         {std::pair{"Read", device.read_bytes()}, std::pair{"Write", device.write_bytes()}}) {
      json.begin_object();
      json.key("major").value(device.major());
      json.key("minor").value(device.minor());
      json.key("op").value(op);
      json.key("value").value(value);
      json.end_object();
    }
  }
  json.end_array();
  json.end_object();
}

// One line, the members as runc's types/events.go names them.
std::string stats_line(const std::string& id, const Stats& stats) {
  JsonWriter json;
  json.begin_object();
  json.key("type").value("stats");
  json.key("id").value(id);
  json.key("data").begin_object();
  write_cpu(json, stats);
  write_memory(json, stats);
  json.key("pids").begin_object();
  json.key("current").value(stats.pids_current());
  if (stats.pids_limit() != std::numeric_limits<std::uint64_t>::max()) {
    json.key("limit").value(stats.pids_limit());
  }
  json.end_object();
  write_block_io(json, stats);
  json.key("hugetlb").begin_object();
  for (const auto& size : stats.huge_pages()) {
    json.key(size.page_size()).begin_object();
    json.key("usage").value(size.usage());
    json.key("failcnt").value(size.failcnt());
    json.end_object();
  }
  json.end_object();
  json.end_object();
  json.end_object();
  return json.take();
}

void print_line(const std::string& line) {
  fmt::print("{}\n", line);
  (void)std::fflush(stdout);
}

}  // namespace

Result<int> run_events(const Engine& engine, const EventsOptions& options) {
  const auto interval = TRY(parse_interval(options.interval));
  auto stats = TRY(container_stats(engine, options.id));
  print_line(stats_line(options.id, stats));
  if (options.stats_once) return 0;
  std::uint64_t oom_kills = stats.oom_kills();
  for (;;) {
    std::this_thread::sleep_for(interval);
    auto next = container_stats(engine, options.id);
    if (!next) {
      // The container's end is the end of its events.
      const bool ended = next.error().kind == ErrorKind::failed_precondition ||
                         next.error().kind == ErrorKind::not_found ||
                         next.error().kind == ErrorKind::unavailable;
      if (ended) return 0;
      return std::unexpected(std::move(next).error());
    }
    for (; oom_kills < next->oom_kills(); ++oom_kills) {
      print_line(fmt::format("{{\"type\":\"oom\",\"id\":\"{}\"}}", options.id));
    }
    print_line(stats_line(options.id, *next));
  }
}

}  // namespace agentvm::runtime::cli
