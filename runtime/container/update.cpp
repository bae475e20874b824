#include "runtime/container/update.h"

#include "oci/base/log.h"
#include "oci/base/try.h"
#include "oci/spec_writer.h"
#include "runtime/container/grow.h"
#include "runtime/container/guest_call.h"
#include "runtime/container/pod_growth.h"
#include "runtime/container/state_document.h"
#include "runtime/host_cgroup.h"
#include "runtime/host_limits.h"

namespace agentvm::runtime {

namespace {

Result<void> check_running(const ContainerRecord& record) {
  if (effective_status(record) != Status::stopped) return {};
  return fail(ErrorKind::failed_precondition, "container not running");
}

// What is not given stays as it was.
void change_demand(PodDemand& demand, const PodDemand& wanted, const oci::Resources& resources) {
  if (resources.memory && resources.memory->limit) demand.memory_mib = wanted.memory_mib;
  if (resources.cpu && (resources.cpu->quota_us || !resources.cpu->cpus.empty())) {
    demand.cpu_millis = wanted.cpu_millis;
  }
}

Result<void> make_room_in_pod(const Engine& engine, const OpenContainer& opened,
                              const oci::Resources& resources) {
  const PodDemand wanted = TRY(pod_demand(resources));
  {
    const auto lock = TRY(opened.dir.lock(kVerbLockDeadline));
    auto record = TRY(opened.dir.load());
    change_demand(record.membership->demand, wanted, resources);
    TRY(opened.dir.store(record, lock));
  }
  return grow_pod(engine, *opened.record.membership);
}

Result<void> make_room(const Engine& engine, const OpenContainer& opened,
                       const oci::Resources& resources) {
  if (opened.record.membership) {
    TRY(make_room_in_pod(engine, opened, resources), "make the pod's VM larger");
    return {};
  }
  const auto plan =
      TRY(plan_growth(resources, opened.record.vm, engine.config.vm.memory_overhead_mib));
  if (!plan) return {};
  auto grown = grow_container(engine, opened, plan->total);
  if (!grown && !plan->needed) {
    log::warning("container '{}': its VM stays as large as it is: {}", opened.dir.id(),
                 grown.error().text());
    return {};
  }
  TRY(std::move(grown), "make the VM larger");
  return {};
}

}  // namespace

Result<void> update_container(const Engine& engine, const std::string& id,
                              const oci::Resources& resources) {
  auto opened = TRY(open_container(engine, id));
  TRY(check_running(opened.record));
  TRY(make_room(engine, opened, resources));
  auto lock = TRY(opened.dir.lock(kVerbLockDeadline));
  const auto record = TRY(opened.dir.load());
  TRY(check_running(record));
  const auto timeout = engine.config.vm.request_timeout;
  auto done = call_guest<void>(opened.dir, timeout, [&](rpc::AgentClient& agent) -> Task<void> {
    agent::v1::UpdateContainerRequest request;
    request.set_container_id(id);
    request.set_resources_json(oci::write_resources(resources));
    auto answer = co_await agent.update_container(request, timeout);
    CO_TRY(std::move(answer));
    co_return Result<void>{};
  });
  TRY(std::move(done));
  if (record.membership) return {};  // the VM in the host's cgroup is the sandbox's
  const auto plan = plan_host_update(resources);
  auto notes = TRY(HostCgroup::adopt(record.cgroup).update(plan.limits), "host cgroup");
  for (const std::string& note : plan.notes) log::info("{}", note);
  for (const std::string& note : notes) log::info("{}", note);
  return {};
}

}  // namespace agentvm::runtime
