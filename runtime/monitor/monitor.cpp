#include "runtime/monitor/monitor.h"

#include <malloc.h>
#include <unistd.h>

#include <csignal>

#include "oci/base/log.h"
#include "oci/base/try.h"
#include "runtime/container_view.h"
#include "runtime/disks/storages.h"
#include "runtime/egress/bound_network.h"
#include "runtime/monitor/control_server.h"
#include "runtime/monitor/guest_boot.h"
#include "runtime/monitor/pod_members.h"
#include "runtime/monitor/stand_in.h"
#include "runtime/monitor/surroundings.h"
#include "runtime/network/guest_network.h"
#include "runtime/pool/holder.h"
#include "runtime/session/guest_growth.h"
#include "runtime/session/guest_share.h"
#include "vmm/guest_memory.h"

namespace agentvm::runtime {

namespace {

// What the monitor has before its event loop.
struct Prepared {
  HostStdio stdio;
  std::optional<PodShare> pod_share;
};

// Runs the container from the booted guest to the exit of its init.
class Life {
 public:
  Life(asio::io_context& io, MonitorPlan& plan, Channel& channel, Prepared prepared)
      : plan_(plan),
        creator_(io, channel),
        container_(plan, std::move(prepared.stdio)),
        pod_share_(std::move(prepared.pod_share)) {}

  // Up to "created". On failure the VM is gone again.
  Task<void> create();
  // From "created" to the exit of init, which is recorded before the VM is taken down.
  asio::awaitable<InitExit> run();
  void failed(Error error) { creator_.failed(std::move(error)); }

 private:
  Task<void> plug_disk();
  Task<void> create_container();
  // What is in the network namespace now, which engines fill at different moments before start.
  Task<void> attach_network();
  Result<void> record_egress(const EgressRecord& changes);
  Task<void> serve();
  Task<void> grow(vmm::MachineSize total);
  // A VM that has lost one of its parts is no VM: the rest goes too, and with it the agent's
  // connection, which is what create() and run() wait on.
  Task<void> follow_machine();

  MonitorPlan& plan_;
  Creator creator_;
  GuestContainer container_;
  std::optional<PodShare> pod_share_;
  Guest guest_;
  std::unique_ptr<PodMembers> members_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<ContainerNetwork> network_;
  bool ending_ = false;  // init has exited, or never came to be: the VM may go
  std::string lost_;     // the VM went before
};

Task<void> Life::plug_disk() {
  if (!plan_.disk) co_return Result<void>{};
  vmm::Disk disk{std::move(plan_.disk_image), [id = plan_.dir->id()](const std::string& why) {
                   log::error("container '{}': {}", id, why);
                 }};
  auto plugged = co_await guest_.machine->plug_disk(std::move(disk));
  CO_TRY(std::move(plugged), "give the guest its disk");
  plan_.timings.mark("disk plugged");
  co_return Result<void>{};
}

Task<void> Life::create_container() {
  agent::v1::CreateContainerRequest request;
  add_share(request, plan_.claimed ? kPoolShare : "");
  if (plan_.disk) add_disk(request, *plan_.disk);
  return container_.create(guest_.agent, std::move(request));
}

Task<void> Life::create() {
  creator_.follow();
  auto proceed = co_await creator_.await(MessageType::proceed);
  CO_TRY(std::move(proceed));
  plan_.timings.mark(plan_.claimed ? "told to go on" : "host cgroup ready");
  auto guest = co_await boot_guest(plan_);
  guest_ = CO_TRY(std::move(guest));
  spawn<void>(co_await asio::this_coro::executor, follow_machine());
  auto plugged = co_await plug_disk();
  auto hooks = co_await creator_.await(MessageType::hooks_done);
  plan_.timings.mark("create hooks done");
  if (hooks) hooks = std::move(plugged);
  if (hooks) hooks = co_await create_container();
  if (hooks) hooks = show_container(plan_.share, plan_.dir->path() + "/" + kSharedDirectory);
  if (!hooks) {
    ending_ = true;
    (void)co_await guest_.machine->stop(std::chrono::milliseconds(0));
    if (!lost_.empty()) co_return fail(ErrorKind::unavailable, lost_);
    co_return std::unexpected(std::move(hooks).error());
  }
  auto serving = co_await serve();
  CO_TRY(std::move(serving));
  plan_.timings.mark("container created in the guest");
  co_return creator_.created(plan_.timings);
}

Task<void> Life::serve() {
  auto executor = co_await asio::this_coro::executor;
  ControlServer::Verbs verbs;
  verbs.start = [this] { return container_.start([this] { return attach_network(); }); };
  verbs.grow = [this](vmm::MachineSize size) { return grow(size); };
  if (pod_share_) {
    members_ = std::make_unique<PodMembers>(executor, *std::move(pod_share_), guest_.agent,
                                            plan_.config.vm.request_timeout);
    verbs.of_member = [this](Channel channel, Message message) {
      members_->take(std::move(channel), std::move(message));
    };
  }
  control_ = CO_TRY(ControlServer::create(executor, plan_.dir->fd(), std::move(verbs)));
  co_return Result<void>{};
}

Task<void> Life::attach_network() {
  const GuestLink link{plan_.dir->fd(), plan_.config.vm.request_timeout};
  if (plan_.agent_sandbox) {
    BoundOrder order{*plan_.agent_sandbox, plan_.dir->id(), &plan_.config,
                     [this](const EgressRecord& changes) { return record_egress(changes); }};
    network_ =
        std::make_unique<BoundNetwork>(*guest_.machine, guest_.agent, link, std::move(order));
  } else {
    network_ = std::make_unique<GuestNetwork>(*guest_.machine, guest_.agent, link);
  }
  auto attached = co_await network_->attach();
  CO_TRY(std::move(attached));
  asio::co_spawn(co_await asio::this_coro::executor, network_->follow(), asio::detached);
  co_return Result<void>{};
}

Result<void> Life::record_egress(const EgressRecord& changes) {
  auto lock = TRY(plan_.dir->lock(kLockDeadline));
  auto record = TRY(plan_.dir->load());
  record.egress = changes;
  return plan_.dir->store(record, lock);
}

Task<void> Life::grow(vmm::MachineSize total) {
  const vmm::MachineSize start{plan_.size.vcpus, plan_.size.memory_mib};
  return grow_guest(guest_, start, total, plan_.config.vm.request_timeout);
}

Task<void> Life::follow_machine() {
  auto end = co_await guest_.machine->wait_end();
  if (ending_ || !end) co_return Result<void>{};
  lost_ = describe_end(*guest_.machine, *end);
  if (creator_.has_been_told()) log::error("container '{}': {}", plan_.dir->id(), lost_);
  co_return co_await guest_.machine->stop(std::chrono::milliseconds(0));
}

asio::awaitable<InitExit> Life::run() {
  auto exit = co_await container_.wait();
  ending_ = exit.has_value();
  InitExit how = kKilled;
  if (exit) {
    how = *exit;
  } else {
    log::error("container '{}': its VM does not answer: {}", plan_.dir->id(), exit.error().text());
  }
  // Before the exit is known, after which a delete may end this process.
  if (network_) network_->part();
  container_.record_exit(how);
  (void)co_await guest_.machine->stop(std::chrono::milliseconds(0));
  co_return how;
}

asio::awaitable<void> live(Life& life, InitExit& how) {
  if (auto created = co_await life.create(); !created) {
    life.failed(std::move(created).error());
    how = kKilled;
    co_return;
  }
  how = co_await life.run();
}

Result<Prepared> prepare(MonitorPlan& plan) {
  Prepared prepared;
  prepared.stdio = TRY(begin_stand_in(plan));
  const std::string shared_dir = plan.dir->path() + "/" + kSharedDirectory;
  TRY(enter_surroundings(plan.spec, plan.share, shared_dir));
  if (plan.takes_members) prepared.pod_share = TRY(PodShare::open(shared_dir));
  if (plan.saved) {
    TRY(vmm::mount_guest_memory(plan.dir->path() + "/" + kMemoryDirectory, plan.size.memory_mib));
  }
  return prepared;
}

}  // namespace

void run_monitor(MonitorPlan& plan, Channel channel) {
  auto prepared = prepare(plan);
  if (!prepared) {
    (void)channel.send({MessageType::failed, "", std::move(prepared).error()});
    ::_exit(1);
  }
  plan.timings.mark("monitor ready: namespaces, shared directory");
  (void)channel.send({MessageType::prepared, "", {}});
  InitExit how = kKilled;
  {
    asio::io_context io(1);
    // What the parse of config.json and the plan left behind is not needed again.
    ::malloc_trim(0);
    Life life(io, plan, channel, std::move(*prepared));
    asio::co_spawn(io, live(life, how), [&io](const std::exception_ptr&) { io.stop(); });
    io.run();
  }
  end_as(how);
}

}  // namespace agentvm::runtime
