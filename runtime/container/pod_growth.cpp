#include "runtime/container/pod_growth.h"

#include "oci/base/try.h"
#include "runtime/container/grow.h"
#include "runtime/container/inspect.h"

namespace agentvm::runtime {

namespace {

// Of the sandbox that `monitor` stands for.
Result<std::vector<ContainerRecord>> living_members(const Engine& engine,
                                                    const ProcessRef& monitor) {
  auto records = TRY(list_containers(engine));
  std::erase_if(records, [&](const ContainerRecord& record) {
    return !record.membership || record.membership->monitor != monitor ||
           effective_status(record) == Status::stopped;
  });
  return records;
}

}  // namespace

Result<std::vector<Fellow>> living_fellows(const Engine& engine, const OpenContainer& sandbox) {
  std::vector<Fellow> fellows{{sandbox.record.monitor.pid, sandbox.record.id}};
  for (const ContainerRecord& record : TRY(living_members(engine, sandbox.record.monitor))) {
    // One that is being created has no processes yet whose namespaces could be joined.
    if (record.status == Status::creating) continue;
    fellows.push_back({record.monitor.pid, record.id});
  }
  return fellows;
}

Result<void> grow_pod(const Engine& engine, const Membership& membership) {
  const auto sandbox = TRY(open_container(engine, membership.sandbox));
  if (sandbox.record.monitor != membership.monitor) {
    return fail(ErrorKind::failed_precondition, "the pod's sandbox has ended");
  }
  std::vector<PodDemand> demands;
  for (const ContainerRecord& record : TRY(living_members(engine, membership.monitor))) {
    demands.push_back(record.membership->demand);
  }
  const VmRecord& vm = sandbox.record.vm;
  const vmm::MachineSize size = pod_size(demands, vm, engine.config.vm);
  if (size == vmm::MachineSize{vm.vcpus, vm.memory_mib}) return {};
  return grow_container(engine, sandbox, size);
}

}  // namespace agentvm::runtime
