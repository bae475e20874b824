#include <charconv>

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "oci/spec_parser.h"
#include "runtime/cli/verbs.h"
#include "runtime/container/update.h"

namespace agentvm::runtime::cli {

namespace {

constexpr std::size_t kMaxDocument = 1U << 20;

// Bytes as runc takes them: a number with an optional b, k, m, g or t (powers of 1024); -1.
Result<std::optional<std::int64_t>> parse_bytes(const std::string& text, std::string_view flag) {
  if (text.empty()) return std::nullopt;
  std::int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, code] = std::from_chars(text.data(), end, number);
  std::string_view unit(rest, end);
  if (unit.ends_with('b') || unit.ends_with('B')) unit.remove_suffix(1);
  int shift = 0;
  if (unit.size() == 1) {
    const std::size_t at = std::string_view("kmgt").find(
        static_cast<char>(std::tolower(static_cast<unsigned char>(unit[0]))));
    shift = at == std::string_view::npos ? -1 : static_cast<int>(at + 1) * 10;
  }
  if (code != std::errc() || unit.size() > 1 || shift < 0 || number < -1 ||
      number > (std::numeric_limits<std::int64_t>::max() >> shift)) {
    return fail(ErrorKind::invalid_argument, fmt::format("invalid value for {}: {}", flag, text));
  }
  return number < 0 ? number : number << shift;
}

void set_cpu(const UpdateOptions& options, oci::Resources& resources) {
  oci::CpuResources cpu = resources.cpu.value_or(oci::CpuResources{});
  if (options.cpu_period) cpu.period_us = options.cpu_period;
  if (options.cpu_quota) cpu.quota_us = options.cpu_quota;
  if (options.cpu_burst) cpu.burst_us = options.cpu_burst;
  if (options.cpu_share) cpu.shares = options.cpu_share;
  if (options.cpu_rt_period) cpu.realtime_period_us = options.cpu_rt_period;
  if (options.cpu_rt_runtime) cpu.realtime_runtime_us = options.cpu_rt_runtime;
  if (options.cpu_idle) cpu.idle = options.cpu_idle;
  if (!options.cpuset_cpus.empty()) cpu.cpus = options.cpuset_cpus;
  if (!options.cpuset_mems.empty()) cpu.mems = options.cpuset_mems;
  if (!(cpu == oci::CpuResources{})) resources.cpu = cpu;
}

Result<void> set_memory(const UpdateOptions& options, oci::Resources& resources) {
  oci::MemoryResources memory = resources.memory.value_or(oci::MemoryResources{});
  const auto limit = TRY(parse_bytes(options.memory, "memory"));
  const auto reservation = TRY(parse_bytes(options.memory_reservation, "memory-reservation"));
  const auto swap = TRY(parse_bytes(options.memory_swap, "memory-swap"));
  if (limit) memory.limit = limit;
  if (reservation) memory.reservation = reservation;
  if (swap) memory.swap = swap;
  if (!(memory == oci::MemoryResources{})) resources.memory = memory;
  if (!options.kernel_memory.empty() || !options.kernel_memory_tcp.empty()) {
    log::warning("kernel memory settings are ignored, as by runc");
  }
  return {};
}

Result<oci::Resources> load_resources(const std::string& path) {
  if (path.empty()) return oci::Resources{};
  const std::string json = path == "-"
                               ? TRY(sys::read_all(0, kMaxDocument), "resources on standard input")
                               : TRY(sys::read_file(path, kMaxDocument), "resources");
  return TRY(oci::parse_resources(json), "resources '{}'", path);
}

}  // namespace

Result<int> run_update(const Engine& engine, const UpdateOptions& options) {
  if (!options.l3_cache_schema.empty() || !options.mem_bw_schema.empty()) {
    return fail(ErrorKind::invalid_argument,
                "Intel RDT cannot be controlled from a microVM: leave out --l3-cache-schema and "
                "--mem-bw-schema");
  }
  oci::Resources resources = TRY(load_resources(options.resources_file));
  set_cpu(options, resources);
  TRY(set_memory(options, resources));
  if (options.pids_limit) resources.pids_limit = options.pids_limit;
  if (options.blkio_weight) {
    if (!resources.block_io) resources.block_io.emplace();
    resources.block_io->weight = options.blkio_weight;
  }
  TRY(update_container(engine, options.id, resources));
  return 0;
}

}  // namespace agentvm::runtime::cli
