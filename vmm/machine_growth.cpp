#include "vmm/machine_growth.h"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

#include "oci/base/try.h"
#include "vmm/slots.h"

namespace agentvm::vmm {

namespace {

constexpr std::uint64_t kMib = std::uint64_t{1024} * 1024;
constexpr const char* kBackend = "plugged-memory-backend";
constexpr const char* kDevice = "plugged-memory";
constexpr const char* kRequested = "requested-size";

QmpDevice memory_device(std::uint64_t mib) {
  QmpDevice device{"virtio-mem-pci", kDevice, slot_name(kMemorySlot), {}};
  device.properties.emplace_back("memdev", kBackend);
  device.properties.emplace_back("block-size", static_cast<std::int64_t>(kMemoryStepMib * kMib));
  device.properties.emplace_back(kRequested, static_cast<std::int64_t>(mib * kMib));
  return device;
}

QmpDevice vcpu_device(const QmpCpuPlace& place, std::uint64_t number) {
  QmpDevice device{place.driver, fmt::format("vcpu{}", number), "", {}};
  for (const auto& [name, value] : place.address) device.properties.emplace_back(name, value);
  return device;
}

std::uint64_t count_vcpus(const std::vector<QmpCpuPlace>& places) {
  std::uint64_t count = 0;
  for (const QmpCpuPlace& place : places) count += place.taken ? place.vcpus : 0;
  return count;
}

}  // namespace

std::uint64_t growable_mib(const MachineBounds& bounds) {
  const std::uint64_t most = std::max(bounds.most.memory_mib, bounds.start.memory_mib);
  return (most - bounds.start.memory_mib) / kMemoryStepMib * kMemoryStepMib;
}

std::uint64_t wanted_mib(const MachineBounds& bounds, std::uint64_t total_mib) {
  if (total_mib <= bounds.start.memory_mib) return 0;
  const std::uint64_t more = total_mib - bounds.start.memory_mib;
  return std::min((more + kMemoryStepMib - 1) / kMemoryStepMib * kMemoryStepMib,
                  growable_mib(bounds));
}

Result<void> check_growth(const MachineBounds& bounds, const MachineSize& total) {
  const std::uint32_t vcpus = std::max(bounds.start.vcpus, bounds.most.vcpus);
  const std::uint64_t memory_mib = bounds.start.memory_mib + growable_mib(bounds);
  if (total.vcpus <= vcpus && total.memory_mib <= memory_mib + kMemoryStepMib - 1) return {};
  return fail(ErrorKind::failed_precondition,
              fmt::format("this machine grows to {} vCPUs and {} MiB at most, not to {} and {} MiB",
                          vcpus, memory_mib, total.vcpus, total.memory_mib));
}

Task<void> grow_memory(const MachineBounds& bounds, std::uint64_t total_mib, Qmp& qmp,
                       PluggedMemory& plugged, Qmp::Timeout timeout) {
  const std::uint64_t mib = wanted_mib(bounds, total_mib);
  if (mib <= plugged.mib) co_return Result<void>{};
  if (!plugged.backend) {
    auto made = co_await qmp.memory_add(kBackend, growable_mib(bounds) * kMib, timeout);
    CO_TRY(std::move(made), "make the memory");
    plugged.backend = true;
  }
  if (plugged.device) {
    auto asked = co_await qmp.device_set(kDevice, kRequested, mib * kMib, timeout);
    CO_TRY(std::move(asked), "give the guest memory");
  } else {
    auto added = co_await qmp.device_add(memory_device(mib), timeout);
    CO_TRY(std::move(added), "plug memory");
    plugged.device = true;
  }
  plugged.mib = mib;
  co_return Result<void>{};
}

Task<void> grow_vcpus(std::uint32_t total, Qmp& qmp, Qmp::Timeout timeout) {
  auto told = co_await qmp.query_cpu_places(timeout);
  std::vector<QmpCpuPlace> places = CO_TRY(std::move(told));
  std::uint64_t count = count_vcpus(places);
  // QEMU tells the last place first.
  for (const QmpCpuPlace& place : places | std::views::reverse) {
    if (count >= total) break;
    if (place.taken) continue;
    auto added = co_await qmp.device_add(vcpu_device(place, count), timeout);
    CO_TRY(std::move(added), "plug a vCPU");
    count += place.vcpus;
  }
  if (count < total) {
    co_return fail(ErrorKind::failed_precondition,
                   fmt::format("there is place for {} vCPUs, not for {}", count, total));
  }
  co_return Result<void>{};
}

}  // namespace agentvm::vmm
