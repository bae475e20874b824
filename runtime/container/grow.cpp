#include "runtime/container/grow.h"

#include <algorithm>

#include "oci/base/try.h"
#include "runtime/cgroup_memory.h"
#include "runtime/container/ask_monitor.h"

namespace agentvm::runtime {

namespace {

constexpr std::uint64_t kMib = 1024 * 1024;

// Two updates may have grown it side by side: the larger size is what it has.
Result<void> record_size(const StateDir& dir, const vmm::MachineSize& total) {
  const auto lock = TRY(dir.lock(kVerbLockDeadline));
  auto record = TRY(dir.load());
  record.vm.vcpus = std::max(record.vm.vcpus, total.vcpus);
  record.vm.memory_mib = std::max(record.vm.memory_mib, total.memory_mib);
  return dir.store(record, lock);
}

}  // namespace

Result<void> grow_container(const Engine& engine, const OpenContainer& container,
                            const vmm::MachineSize& total) {
  const std::uint64_t ceiling_mib = total.memory_mib + engine.config.cgroup.memory_overhead_mib;
  TRY(raise_memory_limit(container.record.cgroup, ceiling_mib * kMib), "host cgroup");
  TRY(ask_monitor(container.dir, {MessageType::grow, write_size(total), {}},
                  4 * engine.config.vm.request_timeout));
  return record_size(container.dir, total);
}

}  // namespace agentvm::runtime
