#include "runtime/container/freeze.h"

#include "oci/base/try.h"
#include "runtime/container/guest_call.h"
#include "runtime/container/state_document.h"

namespace agentvm::runtime {

namespace {

// Under the lock, so that the recorded status and the guest's agree.
Result<void> freeze(const Engine& engine, const std::string& id, oci::Event event) {
  auto opened = TRY(open_container(engine, id));
  auto lock = TRY(opened.dir.lock(kVerbLockDeadline));
  auto record = TRY(opened.dir.load());
  record.status = TRY(oci::next_status(effective_status(record), event, id));
  const auto timeout = engine.config.vm.request_timeout;
  auto done = call_guest<void>(opened.dir, timeout, [&](rpc::AgentClient& agent) -> Task<void> {
    if (event == oci::Event::pause) {
      agent::v1::PauseContainerRequest request;
      request.set_container_id(id);
      auto answer = co_await agent.pause_container(request, timeout);
      CO_TRY(std::move(answer));
    } else {
      agent::v1::ResumeContainerRequest request;
      request.set_container_id(id);
      auto answer = co_await agent.resume_container(request, timeout);
      CO_TRY(std::move(answer));
    }
    co_return Result<void>{};
  });
  TRY(std::move(done));
  return opened.dir.store(record, lock);
}

}  // namespace

Result<void> pause_container(const Engine& engine, const std::string& id) {
  return freeze(engine, id, oci::Event::pause);
}

Result<void> resume_container(const Engine& engine, const std::string& id) {
  return freeze(engine, id, oci::Event::resume);
}

}  // namespace agentvm::runtime
