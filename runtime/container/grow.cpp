#include "runtime/container/grow.h"

#include <algorithm>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/cgroup_memory.h"
#include "runtime/channel.h"

namespace agentvm::runtime {

namespace {

constexpr std::uint64_t kMib = 1024 * 1024;

Result<void> ask_monitor(const StateDir& dir, const vmm::MachineSize& total,
                         std::chrono::milliseconds timeout) {
  Channel channel(TRY(sys::connect_unix_at(dir.fd(), kControlSocket), "reach the monitor"));
  TRY(channel.send({MessageType::grow, write_size(total), {}}));
  TRY(channel.expect(MessageType::done, timeout, "the container's monitor"));
  return {};
}

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
  TRY(ask_monitor(container.dir, total, 4 * engine.config.vm.request_timeout));
  return record_size(container.dir, total);
}

}  // namespace agentvm::runtime
