// plan_guest_resources(). The guest has cgroup v2 and refuses what it cannot enforce.
#include "runtime/guest_spec.h"

namespace agentvm::runtime {

namespace {

void adapt_memory(oci::MemoryResources& memory, std::vector<std::string>& notes) {
  if (memory.swappiness) {
    notes.emplace_back("memory swappiness has no effect: the guest has cgroup v2, which has none");
    memory.swappiness.reset();
  }
  if (memory.disable_oom_killer.value_or(false)) {
    notes.emplace_back(
        "memory disableOOMKiller has no effect: the guest has cgroup v2, which "
        "cannot");
  }
  if (memory.kernel.value_or(0) != 0 || memory.kernel_tcp.value_or(0) != 0) {
    notes.emplace_back(
        "memory kernel and kernelTCP have no effect: the guest has cgroup v2, which "
        "counts that memory into the limit");
  }
  memory.kernel.reset();
  memory.kernel_tcp.reset();
  memory.check_before_update.reset();
  memory.disable_oom_killer.reset();
  memory.use_hierarchy.reset();  // v2 always is
}

}  // namespace

GuestResources plan_guest_resources(const oci::Resources& resources) {
  GuestResources plan{resources, {}};
  if (plan.resources.memory) adapt_memory(*plan.resources.memory, plan.notes);
  if (plan.resources.cpu) {
    plan.resources.cpu->cpus.clear();
    plan.resources.cpu->mems.clear();
    plan.resources.cpu->realtime_runtime_us.reset();
    plan.resources.cpu->realtime_period_us.reset();
  }
  plan.resources.block_io.reset();
  plan.resources.network.reset();
  plan.resources.rdma.clear();
  return plan;
}

}  // namespace agentvm::runtime
