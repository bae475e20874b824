#include "runtime/monitor/member.h"

#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "oci/spec_words.h"
#include "runtime/container_view.h"
#include "runtime/monitor/control_server.h"
#include "runtime/monitor/pod_members.h"
#include "runtime/monitor/stand_in.h"
#include "runtime/mount_namespace.h"
#include "runtime/session/guest_share.h"
#include "runtime/session/guest_start.h"

namespace agentvm::runtime {

namespace {

constexpr std::string_view kSandboxMonitor = "the monitor of the pod's sandbox";

std::string_view word_of(oci::NamespaceType type) {
  for (const auto& [word, value] : oci::json_words(type)) {
    if (value == type) return word;
  }
  return "";
}

Task<void> done_already() {
  co_return Result<void>{};
}

class MemberLife {
 public:
  MemberLife(asio::io_context& io, MemberPlan& plan, Channel& channel, HostStdio stdio)
      : plan_(plan), creator_(io, channel), container_(plan, std::move(stdio)) {}

  Task<void> create();
  asio::awaitable<InitExit> run();
  void failed(Error error) { creator_.failed(std::move(error)); }

 private:
  Result<void> attach_share();
  Result<void> turn_to_container();
  Result<std::unique_ptr<ControlServer>> serve(const asio::any_io_executor& executor);
  [[nodiscard]] agent::v1::CreateContainerRequest guest_request() const;

  MemberPlan& plan_;
  Creator creator_;
  GuestContainer container_;
  std::unique_ptr<Channel> sandbox_;  // while it is open, the container may be in the guest
  std::unique_ptr<ControlServer> control_;
};

Result<void> MemberLife::attach_share() {
  const std::string shared_dir = plan_.dir->path() + "/" + kSharedDirectory;
  Message request{MessageType::attach, write_attach({plan_.dir->id(), plan_.share_name}), {}};
  request.fd.reset(::open_tree(AT_FDCWD, shared_dir.c_str(),
                               OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  if (!request.fd) return fail_errno(errno, "clone the shared directory");
  auto connection = sys::connect_unix_at(plan_.sandbox->fd(), kControlSocket);
  sandbox_ = std::make_unique<Channel>(TRY(std::move(connection), "reach {}", kSandboxMonitor));
  TRY(sandbox_->send(request));
  (void)TRY(sandbox_->expect(MessageType::done, plan_.config.vm.request_timeout, kSandboxMonitor));
  return {};
}

// The VM's copy is what counts from here on; ours is left for who joins this mount namespace.
Result<void> MemberLife::turn_to_container() {
  const std::string shared_dir = plan_.dir->path() + "/" + kSharedDirectory;
  TRY(show_container(plan_.share, shared_dir, guest_member_directory(plan_.share_name)));
  return undo_share(shared_dir);
}

// Its network is there already: the sandbox's.
Result<std::unique_ptr<ControlServer>> MemberLife::serve(const asio::any_io_executor& executor) {
  ControlServer::Verbs verbs;
  verbs.start = [this] { return container_.start(done_already); };
  return ControlServer::create(executor, plan_.dir->fd(), std::move(verbs));
}

agent::v1::CreateContainerRequest MemberLife::guest_request() const {
  agent::v1::CreateContainerRequest request;
  add_member_share(request, plan_.share_name);
  for (const PodNamespace& shared : plan_.namespaces) {
    auto& added = *request.add_shared_namespaces();
    added.set_type(std::string(word_of(shared.type)));
    added.set_container_id(shared.container_id);
  }
  return request;
}

Task<void> MemberLife::create() {
  creator_.follow();
  auto proceed = co_await creator_.await(MessageType::proceed);
  CO_TRY(std::move(proceed));
  CO_TRY(attach_share());
  plan_.timings.mark("share attached to the pod's");
  const GuestLink link{plan_.dir->fd(), plan_.config.vm.request_timeout};
  auto connected = co_await connect_agent(link);
  std::shared_ptr<rpc::AgentClient> agent = CO_TRY(std::move(connected));
  auto hooks = co_await creator_.await(MessageType::hooks_done);
  CO_TRY(std::move(hooks));
  plan_.timings.mark("create hooks done");
  auto request = guest_request();
  auto created = co_await container_.create(std::move(agent), std::move(request));
  CO_TRY(std::move(created));
  CO_TRY(turn_to_container());
  auto executor = co_await asio::this_coro::executor;
  control_ = CO_TRY(serve(executor));
  plan_.timings.mark("container created in the guest");
  co_return creator_.created(plan_.timings);
}

asio::awaitable<InitExit> MemberLife::run() {
  auto exit = co_await container_.wait();
  if (!exit) {
    log::error("container '{}': its pod's VM does not answer: {}", plan_.dir->id(),
               exit.error().text());
  }
  const InitExit how = exit.value_or(kKilled);
  container_.record_exit(how);
  co_return how;
}

asio::awaitable<void> live(MemberLife& life, InitExit& how) {
  if (auto created = co_await life.create(); !created) {
    life.failed(std::move(created).error());
    how = kKilled;
    co_return;
  }
  how = co_await life.run();
}

Result<void> join_network(const ProcessRef& monitor) {
  const auto process = TRY(sys::pidfd_open(monitor.pid), "the pod's sandbox");
  if (!is_alive(monitor))
    return fail(ErrorKind::failed_precondition, "the pod's sandbox has ended");
  if (::setns(process.get(), CLONE_NEWNET) != 0) {
    return fail_errno(errno, "join the network namespace of the pod's sandbox");
  }
  return {};
}

Result<HostStdio> prepare(MemberPlan& plan) {
  auto stdio = TRY(begin_stand_in(plan));
  TRY(join_network(plan.sandbox_monitor));
  TRY(enter_own_mounts());
  TRY(apply_share(plan.share, plan.dir->path() + "/" + kSharedDirectory));
  return stdio;
}

}  // namespace

void run_member(MemberPlan& plan, Channel channel) {
  auto stdio = prepare(plan);
  if (!stdio) {
    (void)channel.send({MessageType::failed, "", std::move(stdio).error()});
    ::_exit(1);
  }
  (void)channel.send({MessageType::prepared, "", {}});
  InitExit how = kKilled;
  {
    asio::io_context io(1);
    ::malloc_trim(0);
    MemberLife life(io, plan, channel, std::move(*stdio));
    asio::co_spawn(io, live(life, how), [&io](const std::exception_ptr&) { io.stop(); });
    io.run();
  }
  end_as(how);
}

}  // namespace agentvm::runtime
