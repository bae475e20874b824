#include "runtime/container/update.h"

#include "oci/base/log.h"
#include "oci/base/try.h"
#include "oci/spec_writer.h"
#include "runtime/container/grow.h"
#include "runtime/container/guest_call.h"
#include "runtime/container/state_document.h"
#include "runtime/host_cgroup.h"
#include "runtime/host_limits.h"

namespace agentvm::runtime {

namespace {

Result<void> check_running(const ContainerRecord& record) {
  if (effective_status(record) != Status::stopped) return {};
  return fail(ErrorKind::failed_precondition, "container not running");
}

Result<void> make_room(const Engine& engine, const OpenContainer& opened,
                       const oci::Resources& resources) {
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
  const auto plan = plan_host_update(resources);
  auto notes = TRY(HostCgroup::adopt(record.cgroup).update(plan.limits), "host cgroup");
  for (const std::string& note : plan.notes) log::info("{}", note);
  for (const std::string& note : notes) log::info("{}", note);
  return {};
}

}  // namespace agentvm::runtime
