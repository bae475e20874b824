#include "runtime/monitor/monitor.h"

#include <malloc.h>
#include <unistd.h>

#include <csignal>

#include "oci/base/log.h"
#include "oci/base/try.h"
#include "oci/spec_writer.h"
#include "rpc/agent_client.h"
#include "runtime/container/state_document.h"
#include "runtime/container_view.h"
#include "runtime/monitor/control_server.h"
#include "runtime/monitor/guest_boot.h"
#include "runtime/monitor/surroundings.h"
#include "runtime/network/guest_network.h"
#include "runtime/oom_score.h"
#include "runtime/orphan.h"
#include "runtime/pool/holder.h"
#include "runtime/process_title.h"
#include "runtime/session/guest_growth.h"
#include "runtime/session/guest_moments.h"
#include "runtime/session/guest_process.h"
#include "runtime/session/guest_share.h"
#include "vmm/guest_memory.h"

namespace agentvm::runtime {

namespace {

constexpr std::chrono::milliseconds kLockDeadline{5000};
constexpr InitExit kKilled{0, SIGKILL};

// Runs the container from the booted guest to the exit of its init.
class Life {
 public:
  Life(asio::io_context& io, MonitorPlan& plan, Channel& channel, HostStdio stdio)
      : io_(io), plan_(plan), channel_(channel), stdio_(std::move(stdio)) {}

  // Up to "created". On failure the VM is gone again.
  Task<void> create();
  // From "created" to the exit of init, which is recorded before the VM is taken down.
  asio::awaitable<InitExit> run();

 private:
  // Until "created" nobody but the creator knows of us: its end is ours, at whatever we are.
  Task<void> follow_creator();
  Task<void> await_creator(MessageType expected);
  Task<void> create_container();
  Task<void> start_container();
  // What is in the network namespace now, which engines fill at different moments before start.
  Task<void> attach_network();
  Task<void> grow(vmm::MachineSize total);
  // A VM that has lost one of its parts is no VM: the rest goes too, and with it the agent's
  // connection, which is what create() and run() wait on.
  Task<void> follow_machine();
  void record_exit(const InitExit& how);

  asio::io_context& io_;
  MonitorPlan& plan_;
  Channel& channel_;
  HostStdio stdio_;
  Guest guest_;
  std::unique_ptr<ProcessStreams> streams_;
  std::unique_ptr<SignalRelay> signals_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<GuestNetwork> network_;
  bool created_ = false;
  bool ending_ = false;  // init has exited, or never came to be: the VM may go
  std::string lost_;     // the VM went before
};

Task<void> Life::await_creator(MessageType expected) {
  auto received = co_await channel_.async_receive();
  const auto message = CO_TRY(std::move(received));
  if (!message || message->type != expected) {
    co_return fail(ErrorKind::unavailable, "the command that creates the container has ended");
  }
  co_return Result<void>{};
}

Task<void> Life::create_container() {
  const GuestLink link{plan_.dir->fd(), plan_.config.vm.request_timeout};
  auto streams = co_await ProcessStreams::open(link, std::move(stdio_));
  streams_ = CO_TRY(std::move(streams));
  agent::v1::CreateContainerRequest request;
  request.set_id(plan_.dir->id());
  request.set_spec_json(oci::write_spec(plan_.share.guest_spec));
  *request.mutable_stdio() = streams_->ids();
  if (plan_.seccomp) {
    const auto& program = plan_.seccomp->program;
    request.mutable_seccomp()->set_program(program.data(), program.size() * sizeof program[0]);
    request.mutable_seccomp()->set_flags(plan_.seccomp->flags);
  }
  add_share(request, plan_.claimed ? kPoolShare : "");
  auto answer = co_await guest_.agent->create_container(request, plan_.config.vm.request_timeout);
  const agent::v1::CreateContainerResponse created = CO_TRY(std::move(answer));
  mark_guest(plan_.timings, created.moments());
  streams_->start();
  co_return Result<void>{};
}

Task<void> Life::follow_creator() {
  auto gone = co_await wait_hangup(channel_.fd());
  if (gone && !created_) io_.stop();
  co_return Result<void>{};
}

Task<void> Life::create() {
  spawn<void>(co_await asio::this_coro::executor, follow_creator());
  auto proceed = co_await await_creator(MessageType::proceed);
  CO_TRY(std::move(proceed));
  plan_.timings.mark(plan_.claimed ? "told to go on" : "host cgroup ready");
  auto guest = co_await boot_guest(plan_);
  guest_ = CO_TRY(std::move(guest));
  spawn<void>(co_await asio::this_coro::executor, follow_machine());
  auto hooks = co_await await_creator(MessageType::hooks_done);
  plan_.timings.mark("create hooks done");
  if (hooks) hooks = co_await create_container();
  if (hooks) hooks = show_container(plan_.share, plan_.dir->path() + "/" + kSharedDirectory);
  if (!hooks) {
    ending_ = true;
    (void)co_await guest_.machine->stop(std::chrono::milliseconds(0));
    if (!lost_.empty()) co_return fail(ErrorKind::unavailable, lost_);
    co_return std::unexpected(std::move(hooks).error());
  }
  auto executor = co_await asio::this_coro::executor;
  signals_ = std::make_unique<SignalRelay>(
      executor, guest_.agent, GuestProcessId{plan_.dir->id(), ""}, streams_->terminal());
  ControlServer::Verbs verbs;
  verbs.start = [this] { return start_container(); };
  verbs.grow = [this](vmm::MachineSize size) { return grow(size); };
  control_ = CO_TRY(ControlServer::create(executor, plan_.dir->fd(), std::move(verbs)));
  created_ = true;
  plan_.timings.mark("container created in the guest");
  CO_TRY(channel_.send({MessageType::created, plan_.timings.encode(), {}}));
  co_return Result<void>{};
}

Task<void> Life::attach_network() {
  const GuestLink link{plan_.dir->fd(), plan_.config.vm.request_timeout};
  network_ = std::make_unique<GuestNetwork>(*guest_.machine, guest_.agent, link);
  auto attached = co_await network_->attach();
  CO_TRY(std::move(attached));
  asio::co_spawn(co_await asio::this_coro::executor, network_->follow(), asio::detached);
  co_return Result<void>{};
}

Task<void> Life::start_container() {
  auto record = CO_TRY(plan_.dir->load());
  CO_TRY(allow(effective_status(record), oci::Event::start, record.id));
  auto attached = co_await attach_network();
  if (!attached) {
    // As a program that cannot be executed: engines delete what failed to start, and only what has
    // ended can be deleted.
    agent::v1::SignalProcessRequest kill;
    kill.set_container_id(record.id);
    kill.set_signal(SIGKILL);
    (void)co_await guest_.agent->signal_process(kill, plan_.config.vm.request_timeout);
    co_return attached;
  }
  agent::v1::StartContainerRequest request;
  request.set_id(record.id);
  request.set_state_json(state_document(record));
  auto answer = co_await guest_.agent->start_container(request, plan_.config.vm.request_timeout);
  CO_TRY(std::move(answer));
  auto lock = CO_TRY(plan_.dir->lock(kLockDeadline));
  record = CO_TRY(plan_.dir->load());
  record.status = Status::running;
  CO_TRY(plan_.dir->store(record, lock));
  co_return Result<void>{};
}

Task<void> Life::grow(vmm::MachineSize total) {
  const vmm::MachineSize start{plan_.size.vcpus, plan_.size.memory_mib};
  return grow_guest(guest_, start, total, plan_.config.vm.request_timeout);
}

void Life::record_exit(const InitExit& how) {
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

Task<void> Life::follow_machine() {
  auto end = co_await guest_.machine->wait_end();
  if (ending_ || !end) co_return Result<void>{};
  lost_ = describe_end(*guest_.machine, *end);
  if (created_) log::error("container '{}': {}", plan_.dir->id(), lost_);
  co_return co_await guest_.machine->stop(std::chrono::milliseconds(0));
}

asio::awaitable<InitExit> Life::run() {
  const GuestProcessId init{plan_.dir->id(), ""};
  auto exit = co_await wait_process(*guest_.agent, init, *streams_);
  ending_ = exit.has_value();
  InitExit how = kKilled;
  if (exit) {
    how = *exit;
  } else {
    log::error("container '{}': its VM does not answer: {}", plan_.dir->id(), exit.error().text());
  }
  // Before the exit is known, after which a delete may end this process.
  if (network_) network_->part();
  record_exit(how);
  (void)co_await guest_.machine->stop(std::chrono::milliseconds(0));
  co_return how;
}

asio::awaitable<void> live(Life& life, Channel& channel, InitExit& how) {
  if (auto created = co_await life.create(); !created) {
    (void)channel.send({MessageType::failed, "", std::move(created).error()});
    how = kKilled;
    co_return;
  }
  how = co_await life.run();
}

// What this process was handed as 0, 1 and 2, unless the container has a terminal.
Result<HostStdio> take_stdio(MonitorPlan& plan) {
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

Result<HostStdio> prepare(MonitorPlan& plan) {
  set_process_title(plan.spec.process->args);
  apply_oom_score(plan.spec, 0);
  auto stdio = TRY(take_stdio(plan));
  if (plan.foreground) log::keep_stderr();
  detach_stdio();
  TRY(enter_surroundings(plan.spec, plan.share, plan.dir->path() + "/" + kSharedDirectory));
  if (plan.saved) {
    TRY(vmm::mount_guest_memory(plan.dir->path() + "/" + kMemoryDirectory, plan.size.memory_mib));
  }
  return stdio;
}

}  // namespace

void run_monitor(MonitorPlan& plan, Channel channel) {
  auto stdio = prepare(plan);
  if (!stdio) {
    (void)channel.send({MessageType::failed, "", std::move(stdio).error()});
    ::_exit(1);
  }
  plan.timings.mark("monitor ready: namespaces, shared directory");
  (void)channel.send({MessageType::prepared, "", {}});
  InitExit how = kKilled;
  {
    asio::io_context io(1);
    // What the parse of config.json and the plan left behind is not needed again.
    ::malloc_trim(0);
    Life life(io, plan, channel, std::move(*stdio));
    asio::co_spawn(io, live(life, channel, how), [&io](const std::exception_ptr&) { io.stop(); });
    io.run();
  }
  end_as(how);
}

}  // namespace agentvm::runtime
