#include "runtime/monitor/stand_in.h"

#include "oci/base/log.h"
#include "oci/base/try.h"
#include "oci/spec_writer.h"
#include "runtime/container/state_document.h"
#include "runtime/oom_score.h"
#include "runtime/orphan.h"
#include "runtime/process_title.h"
#include "runtime/session/guest_moments.h"
#include "runtime/session/guest_share.h"

namespace agentvm::runtime {

namespace {

// What this process was handed as 0, 1 and 2, unless the container has a terminal.
Result<HostStdio> take_stdio(StandInPlan& plan) {
  if (!plan.terminal) return inherit_stdio();
  HostStdio stdio;
  if (plan.own_terminal) {
    if (const int errnum = take_controlling_terminal(plan.terminal.get()); errnum != 0) {
      return fail_errno(errnum, "take the container's terminal as controlling terminal");
    }
  }
  stdio.terminal = std::move(plan.terminal);
  return stdio;
}

}  // namespace

void Creator::follow() {
  spawn<void>(io_.get_executor(), watch());
}

Task<void> Creator::watch() {
  auto gone = co_await wait_hangup(channel_.fd());
  if (gone && !created_) io_.stop();
  co_return Result<void>{};
}

Task<void> Creator::await(MessageType expected) {
  auto received = co_await channel_.async_receive();
  const auto message = CO_TRY(std::move(received));
  if (!message || message->type != expected) {
    co_return fail(ErrorKind::unavailable, "the command that creates the container has ended");
  }
  co_return Result<void>{};
}

Result<void> Creator::created(const Timings& timings) {
  created_ = true;
  return channel_.send({MessageType::created, timings.encode(), {}});
}

void GuestContainer::fill(agent::v1::CreateContainerRequest& request) const {
  request.set_id(plan_.dir->id());
  request.set_spec_json(oci::write_spec(plan_.share.guest_spec));
  *request.mutable_stdio() = streams_->ids();
  if (plan_.share.pod_shm_bytes) add_pod_shm(request, *plan_.share.pod_shm_bytes);
  if (!plan_.seccomp) return;
  const auto& program = plan_.seccomp->program;
  request.mutable_seccomp()->set_program(program.data(), program.size() * sizeof program[0]);
  request.mutable_seccomp()->set_flags(plan_.seccomp->flags);
}

Task<void> GuestContainer::create(std::shared_ptr<rpc::AgentClient> agent,
                                  agent::v1::CreateContainerRequest request) {
  agent_ = std::move(agent);
  const GuestLink link{plan_.dir->fd(), plan_.config.vm.request_timeout};
  auto streams = co_await ProcessStreams::open(link, std::move(stdio_));
  streams_ = CO_TRY(std::move(streams));
  fill(request);
  auto answer = co_await agent_->create_container(request, plan_.config.vm.request_timeout);
  const agent::v1::CreateContainerResponse created = CO_TRY(std::move(answer));
  mark_guest(plan_.timings, created.moments());
  streams_->start();
  auto executor = co_await asio::this_coro::executor;
  const GuestProcessId init{plan_.dir->id(), ""};
  signals_ = std::make_unique<SignalRelay>(executor, agent_, init, streams_->terminal());
  co_return Result<void>{};
}

Task<void> GuestContainer::start(std::function<Task<void>()> before) {
  const auto record = CO_TRY(plan_.dir->load());
  CO_TRY(allow(effective_status(record), oci::Event::start, record.id));
  auto done = co_await before();
  if (!done) {
    agent::v1::SignalProcessRequest kill;
    kill.set_container_id(record.id);
    kill.set_signal(SIGKILL);
    (void)co_await agent_->signal_process(kill, plan_.config.vm.request_timeout);
    co_return done;
  }
  co_return co_await start_program(record);
}

Task<void> GuestContainer::start_program(const ContainerRecord& record) {
  agent::v1::StartContainerRequest request;
  request.set_id(record.id);
  request.set_state_json(state_document(record));
  auto answer = co_await agent_->start_container(request, plan_.config.vm.request_timeout);
  CO_TRY(std::move(answer));
  auto lock = CO_TRY(plan_.dir->lock(kLockDeadline));
  auto running = CO_TRY(plan_.dir->load());
  running.status = Status::running;
  CO_TRY(plan_.dir->store(running, lock));
  co_return Result<void>{};
}

Task<InitExit> GuestContainer::wait() {
  const GuestProcessId init{plan_.dir->id(), ""};
  co_return co_await wait_process(*agent_, init, *streams_);
}

void GuestContainer::record_exit(const InitExit& how) {
  auto lock = plan_.dir->lock(kLockDeadline);
  if (!lock) return;  // being deleted: nobody asks any more
  auto record = plan_.dir->load();
  if (!record) return;
  record->status = Status::stopped;
  record->init_exit = how;
  if (auto stored = plan_.dir->store(*record, *lock); !stored) {
    log::warning("container '{}': its exit was not recorded: {}", record->id,
                 stored.error().text());
  }
}

Result<HostStdio> begin_stand_in(StandInPlan& plan) {
  set_process_title(plan.spec.process->args);
  apply_oom_score(plan.spec, 0);
  auto stdio = TRY(take_stdio(plan));
  if (plan.foreground) log::keep_stderr();
  detach_stdio();
  return stdio;
}

}  // namespace agentvm::runtime
