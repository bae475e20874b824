#include "runtime/container/update.h"

#include "oci/base/log.h"
#include "oci/base/try.h"
#include "oci/spec_writer.h"
#include "runtime/container/guest_call.h"
#include "runtime/container/state_document.h"
#include "runtime/host_cgroup.h"
#include "runtime/host_limits.h"

namespace agentvm::runtime {

namespace {

Result<void> check_fits(const oci::Resources& resources, const VmRecord& vm) {
  const std::int64_t limit =
      resources.memory ? resources.memory->limit.value_or(0) : std::int64_t{0};
  const auto size = static_cast<std::int64_t>(vm.memory_mib << 20);
  if (limit <= size) return {};
  return fail(ErrorKind::invalid_argument,
              fmt::format("memory limit of {} MiB is above the VM's {} MiB, which are fixed when "
                          "the container is created",
                          limit >> 20, vm.memory_mib));
}

}  // namespace

Result<void> update_container(const Engine& engine, const std::string& id,
                              const oci::Resources& resources) {
  auto opened = TRY(open_container(engine, id));
  auto lock = TRY(opened.dir.lock(kVerbLockDeadline));
  const auto record = TRY(opened.dir.load());
  if (effective_status(record) == Status::stopped) {
    return fail(ErrorKind::failed_precondition, "container not running");
  }
  TRY(check_fits(resources, record.vm));
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
