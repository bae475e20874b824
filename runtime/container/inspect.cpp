#include "runtime/container/inspect.h"

#include "oci/base/log.h"
#include "oci/base/try.h"
#include "runtime/container/guest_call.h"
#include "runtime/container/state_document.h"

namespace agentvm::runtime {

namespace {

Result<OpenContainer> open_live(const Engine& engine, const std::string& id) {
  auto opened = TRY(open_container(engine, id));
  if (effective_status(opened.record) == Status::stopped) {
    return fail(ErrorKind::failed_precondition, "container not running");
  }
  return opened;
}

}  // namespace

Result<std::vector<ContainerRecord>> list_containers(const Engine& engine) {
  auto root = TRY(StateRoot::open(engine.root));
  const std::vector<std::string> ids = TRY(root.list());
  std::vector<ContainerRecord> records;
  for (const std::string& id : ids) {
    auto opened = open_container(engine, id);
    if (opened) {
      records.push_back(std::move(opened->record));
    } else if (opened.error().kind != ErrorKind::not_found) {
      log::warning("container '{}': {}", id, opened.error().text());
    }
  }
  return records;
}

Result<agent::v1::ListProcessesResponse> list_processes(const Engine& engine,
                                                        const std::string& id) {
  auto [dir, record] = TRY(open_live(engine, id));
  const auto timeout = engine.config.vm.request_timeout;
  return call_guest<agent::v1::ListProcessesResponse>(dir, timeout, [&](rpc::AgentClient& agent) {
    agent::v1::ListProcessesRequest request;
    request.set_container_id(id);
    return agent.list_processes(request, timeout);
  });
}

Result<std::vector<pid_t>> list_stand_ins(const Engine& engine, const std::string& id) {
  auto [dir, record] = TRY(open_live(engine, id));
  std::vector<pid_t> pids{record.monitor.pid};
  for (const ExecRecord& exec : record.execs) {
    if (is_alive(exec.stand_in)) pids.push_back(exec.stand_in.pid);
  }
  return pids;
}

Result<agent::v1::ContainerStatsResponse> container_stats(const Engine& engine,
                                                          const std::string& id) {
  auto [dir, record] = TRY(open_live(engine, id));
  const auto timeout = engine.config.vm.request_timeout;
  return call_guest<agent::v1::ContainerStatsResponse>(dir, timeout, [&](rpc::AgentClient& agent) {
    agent::v1::ContainerStatsRequest request;
    request.set_container_id(id);
    return agent.container_stats(request, timeout);
  });
}

}  // namespace agentvm::runtime
