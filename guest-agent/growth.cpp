#include "guest-agent/growth.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "guest-agent/blocking_call.h"
#include "guest-agent/cgroup_files.h"
#include "guest-agent/modules.h"
#include "guest-agent/pci_slot.h"
#include "oci/base/remove_tree.h"
#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "rpc/guest_contract.h"

namespace agentvm::guest {

namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t kMostVcpus = 8192;
constexpr std::uint64_t kMostMemoryMib = std::uint64_t{16} << 20;
constexpr std::uint32_t kMostTimeoutMs = 600'000;
constexpr milliseconds kBetweenLooks{2};
// The kernel gives up on a vCPU that does not answer after ten seconds.
constexpr milliseconds kVcpuPatience{15'000};

constexpr const char* kCpus = "/sys/devices/system/cpu";
constexpr const char* kAutoOnline = "/sys/devices/system/memory/auto_online_blocks";
constexpr std::size_t kMaxFile = 64 << 10;

Result<void> check(const agent::v1::GrowGuestRequest& request) {
  if (request.vcpus() <= kMostVcpus && request.plugged_memory_mib() <= kMostMemoryMib &&
      request.timeout_ms() <= kMostTimeoutMs) {
    return {};
  }
  return fail(ErrorKind::invalid_argument, "grow: no guest becomes as large, or waits as long");
}

template <class Number>
std::optional<Number> number_of(std::string_view text) {
  Number number{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

bool is_cpu(std::string_view name) {
  return name.starts_with("cpu") && number_of<std::uint32_t>(name.substr(3)).has_value();
}

// May take long: the kernel waits for the vCPU.
Task<void> start_vcpu(Reaper& reaper, std::string name) {
  const auto online =
      CO_TRY(sys::open_at(AT_FDCWD, fmt::format("{}/{}/online", kCpus, name), O_WRONLY));
  // Left behind when it is late, with the byte and, for as long as need be, the file.
  static constexpr char kOne = '1';
  SlowCall call{
      SYS_write,
      {static_cast<std::uintptr_t>(online.get()), reinterpret_cast<std::uintptr_t>(&kOne), 1}};
  auto written = co_await call_apart(reaper, fmt::format("start {}", name), call, kVcpuPatience);
  co_return written;
}

}  // namespace

std::optional<std::uint32_t> count_cpu_list(std::string_view list) {
  std::uint32_t count = 0;
  for (const std::string_view part : split(list, ",\n")) {
    const std::size_t dash = std::min(part.find('-'), part.size());
    const auto first = number_of<std::uint32_t>(part.substr(0, dash));
    const auto last = dash == part.size() ? first : number_of<std::uint32_t>(part.substr(dash + 1));
    if (!first || !last || *last < *first || *last >= kMostVcpus) return std::nullopt;
    count += *last - *first + 1;
  }
  return count;
}

std::optional<std::uint64_t> total_memory_kib(std::string_view meminfo) {
  constexpr std::string_view kName = "MemTotal:";
  for (const std::string_view line : lines_of(meminfo)) {
    if (!line.starts_with(kName)) continue;
    const auto words = split(line.substr(kName.size()), " ");
    return words.empty() ? std::nullopt : number_of<std::uint64_t>(words.front());
  }
  return std::nullopt;
}

Result<agent::v1::GrowGuestResponse> GuestGrowth::in_use() const {
  const auto cpus = count_cpu_list(TRY(sys::read_file(fmt::format("{}/online", kCpus), kMaxFile)));
  const auto memory = total_memory_kib(TRY(sys::read_file("/proc/meminfo", kMaxFile)));
  if (!cpus || !memory) return fail(ErrorKind::internal, "the kernel does not tell its size");
  agent::v1::GrowGuestResponse now;
  now.set_vcpus(*cpus);
  const std::uint64_t start = start_kib_.value_or(*memory);
  now.set_plugged_memory_mib((std::max(*memory, start) - start) >> 10);
  return now;
}

// The driver asks for the memory, piece by piece, and takes each into use, beside us.
Task<void> GuestGrowth::find_memory() {
  if (memory_found_) co_return Result<void>{};
  if (!start_kib_) {
    const std::string meminfo = CO_TRY(sys::read_file("/proc/meminfo", kMaxFile));
    start_kib_ = total_memory_kib(meminfo);
  }
  CO_TRY(load_module("virtio_mem"));
  CO_TRY(sys::write_file(kAutoOnline, "online"));
  const PciSlot slot = CO_TRY(PciSlot::open(rpc::kMemorySlot));
  CO_TRY(slot.power_on());
  memory_found_ = CO_TRY(slot.look());
  co_return Result<void>{};
}

Task<void> GuestGrowth::start_vcpus() {
  const auto directory = CO_TRY(sys::open_at(AT_FDCWD, kCpus, O_RDONLY | O_DIRECTORY));
  for (const std::string& name : CO_TRY(list_names(directory.get()))) {
    if (!is_cpu(name)) continue;
    // The first one has no such file.
    const auto state = sys::read_file(fmt::format("{}/{}/online", kCpus, name), 16);
    if (!state || !state->starts_with('0')) continue;
    auto started = co_await start_vcpu(reaper_, name);
    CO_TRY(std::move(started));
  }
  co_return Result<void>{};
}

Task<agent::v1::GrowGuestResponse> GuestGrowth::grow(agent::v1::GrowGuestRequest request) {
  CO_TRY(check(request));
  asio::steady_timer pause(co_await asio::this_coro::executor);
  const auto deadline = std::chrono::steady_clock::now() + milliseconds(request.timeout_ms());
  for (;;) {
    if (request.plugged_memory_mib() != 0) {
      auto found = co_await find_memory();
      CO_TRY(std::move(found), "take memory into use");
    }
    auto now = CO_TRY(in_use());
    if (now.vcpus() < request.vcpus()) {
      auto started = co_await start_vcpus();
      CO_TRY(std::move(started));
      now = CO_TRY(in_use());
    }
    const bool all =
        now.vcpus() >= request.vcpus() && now.plugged_memory_mib() >= request.plugged_memory_mib();
    if (all || std::chrono::steady_clock::now() >= deadline) co_return now;
    pause.expires_after(kBetweenLooks);
    (void)co_await pause.async_wait(use_result);
  }
}

}  // namespace agentvm::guest
