#include "guest-agent/agent.h"

#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <cstring>
#include <utility>

#include "guest-agent/blocking_call.h"
#include "oci/base/try.h"
#include "rpc/status.h"

namespace agentvm::guest {

namespace {

using agent::v1::Stdio;
using rpc::CallContext;

constexpr std::chrono::milliseconds kSyncPatience{10000};
// The answer to ListProcesses has to fit what the host believes (rpc/agent_methods.h).
constexpr std::size_t kMaxListBytes = rpc::kListResponse - (std::size_t{64} << 10);

StreamIds stream_ids(const Stdio& stdio) {
  StreamIds ids;
  ids.in = stdio.stdin_stream();
  ids.out = stdio.stdout_stream();
  ids.err = stdio.stderr_stream();
  ids.terminal = stdio.terminal_stream();
  return ids;
}

StorageOrder storage_order(const agent::v1::Storage& storage) {
  StorageOrder order;
  order.driver = storage.driver();
  order.source = storage.source();
  order.mount_point = storage.mount_point();
  order.fs_type = storage.fs_type();
  order.options.assign(storage.options().begin(), storage.options().end());
  return order;
}

Result<std::shared_ptr<const oci::SeccompFilter>> seccomp_filter(
    const agent::v1::CreateContainerRequest& request) {
  if (!request.has_seccomp()) return nullptr;
  const std::string& bytes = request.seccomp().program();
  const std::size_t size = bytes.size() / sizeof(sock_filter);
  if (bytes.empty() || bytes.size() % sizeof(sock_filter) != 0 || size > BPF_MAXINSNS) {
    return fail(ErrorKind::invalid_argument, "seccomp: this is no program");
  }
  auto filter = std::make_shared<oci::SeccompFilter>();
  filter->program.resize(size);
  std::memcpy(filter->program.data(), bytes.data(), bytes.size());
  filter->flags = request.seccomp().flags();
  return filter;
}

void fill(agent::v1::ProcessInfo& info, const ProcessEntry& entry) {
  info.set_pid(static_cast<std::uint32_t>(entry.pid));
  info.set_ppid(static_cast<std::uint32_t>(entry.ppid));
  info.set_uid(entry.uid);
  info.set_start_time_ms(entry.start_time_ms);
  info.set_cpu_time_ms(entry.cpu_time_ms);
  info.set_tty(entry.tty);
  // A process may call itself anything; the host prints this.
  info.set_command(rpc::printable(entry.command, 512));
  const pid_t inner = entry.namespace_pids.empty() ? entry.pid : entry.namespace_pids.back();
  info.set_pid_in_container(static_cast<std::uint32_t>(inner));
}

}  // namespace

Agent::Agent(const asio::any_io_executor& executor, Reaper& reaper, StreamTable& streams,
             AgentSetup setup)
    : executor_(executor),
      reaper_(reaper),
      setup_(std::move(setup)),
      containers_(executor, reaper, streams, setup_.cgroups),
      network_(executor, streams),
      growth_(reaper) {}

Result<void> Agent::check_configured() const {
  switch (phase_) {
    case Phase::configured:
      return {};
    case Phase::fresh:
      return fail(ErrorKind::failed_precondition, "the guest is not configured yet");
    case Phase::unusable:
      return fail(ErrorKind::failed_precondition, "the guest's configuration failed");
    case Phase::ending:
      break;
  }
  return fail(ErrorKind::unavailable, "the guest is shutting down");
}

// Legal first, and again while there is no container. A failure leaves the guest unusable.
Task<agent::v1::ConfigureResponse> Agent::configure(CallContext& /*call*/,
                                                    agent::v1::ConfigureRequest request) {
  if (phase_ != Phase::fresh) CO_TRY(check_configured());
  if (containers_.size() != 0) {
    co_return fail(ErrorKind::failed_precondition, "the guest has containers already");
  }
  phase_ = Phase::unusable;
  moments_.mark(agent::v1::GUEST_STEP_CONFIGURING);
  CO_TRY(setup_.configure_guest(request));
  phase_ = Phase::configured;
  utsname system{};
  ::uname(&system);
  agent::v1::ConfigureResponse response;
  response.set_kernel_release(system.release);
  response.set_agent_version(AGENTVM_VERSION);
  response.set_init_started_ms(setup_.init_started_ms);
  response.set_serving_ms(setup_.serving_ms);
  moments_.tell(*response.mutable_moments());
  co_return response;
}

// Legal any number of times. A failure leaves a part of it done.
Task<agent::v1::SetNetworkResponse> Agent::set_network(CallContext& /*call*/,
                                                       agent::v1::SetNetworkRequest request) {
  CO_TRY(check_configured());
  if (!setup_.owns_network) {
    co_return fail(ErrorKind::failed_precondition, "the network is not this agent's own");
  }
  CO_TRY(network_.set(request));
  co_return agent::v1::SetNetworkResponse();
}

// Legal for an id that is not in use. A failure leaves nothing of the container.
Task<agent::v1::CreateContainerResponse> Agent::create_container(
    CallContext& call, agent::v1::CreateContainerRequest request) {
  CO_TRY(check_configured());
  Moments moments;
  moments.mark(agent::v1::GUEST_STEP_CREATING);
  CreateOrder order;
  order.moments = &moments;
  order.id = request.id();
  order.spec_json = std::move(*request.mutable_spec_json());
  for (const agent::v1::Storage& storage : request.storages()) {
    order.storages.push_back(storage_order(storage));
  }
  order.seccomp = CO_TRY(seccomp_filter(request));
  for (const agent::v1::SharedNamespace& shared : request.shared_namespaces()) {
    order.shared_namespaces.push_back({shared.type(), shared.container_id()});
  }
  order.streams = stream_ids(request.stdio());
  auto created = co_await containers_.create(std::move(order), call.connection);
  const pid_t pid = CO_TRY(std::move(created));
  agent::v1::CreateContainerResponse response;
  response.set_pid(static_cast<std::uint32_t>(pid));
  moments.tell(*response.mutable_moments());
  co_return response;
}

// Legal once, for a created container. A failure leaves it stopped with exit code 127.
Task<agent::v1::StartContainerResponse> Agent::start_container(
    CallContext& /*call*/, agent::v1::StartContainerRequest request) {
  CO_TRY(check_configured());
  auto started = co_await containers_.start(request.id(), std::move(*request.mutable_state_json()));
  CO_TRY(std::move(started));
  co_return agent::v1::StartContainerResponse();
}

// Legal for a created or running container, with a new exec id. A failure leaves nothing running.
Task<agent::v1::ExecProcessResponse> Agent::exec_process(CallContext& call,
                                                         agent::v1::ExecProcessRequest request) {
  CO_TRY(check_configured());
  ExecOrder order;
  order.container_id = request.container_id();
  order.exec_id = request.exec_id();
  order.process_json = std::move(*request.mutable_process_json());
  order.streams = stream_ids(request.stdio());
  order.cgroup = request.cgroup();
  auto launched = co_await containers_.exec(std::move(order), call.connection);
  const pid_t pid = CO_TRY(std::move(launched));
  agent::v1::ExecProcessResponse response;
  response.set_pid(static_cast<std::uint32_t>(pid));
  co_return response;
}

// Legal until DeleteContainer; changes nothing.
Task<agent::v1::WaitProcessResponse> Agent::wait_process(CallContext& /*call*/,
                                                         agent::v1::WaitProcessRequest request) {
  CO_TRY(check_configured());
  auto waited = co_await containers_.wait(request.container_id(), request.exec_id());
  const ExitStatus status = CO_TRY(std::move(waited));
  agent::v1::WaitProcessResponse response;
  response.set_exit_code(status.exit_code);
  response.set_signal(status.signal);
  response.set_oom_killed(status.oom_killed);
  co_return response;
}

// Legal until DeleteContainer; changes nothing.
Task<agent::v1::WaitOomResponse> Agent::wait_oom(CallContext& /*call*/,
                                                 agent::v1::WaitOomRequest request) {
  CO_TRY(check_configured());
  auto waited = co_await containers_.wait_oom(request.container_id(), request.seen());
  const std::uint64_t kills = CO_TRY(std::move(waited));
  agent::v1::WaitOomResponse response;
  response.set_oom_kills(kills);
  response.set_exited(kills <= request.seen());
  co_return response;
}

// Legal while the process lives. A failure of `all` may leave a part of them signalled.
Task<agent::v1::SignalProcessResponse> Agent::signal_process(
    CallContext& /*call*/, agent::v1::SignalProcessRequest request) {
  CO_TRY(check_configured());
  CO_TRY(containers_.signal(request.container_id(), request.exec_id(), request.signal(),
                            request.all()));
  co_return agent::v1::SignalProcessResponse();
}

// Legal for a process with a terminal. A failure leaves the size as it was.
Task<agent::v1::ResizeTerminalResponse> Agent::resize_terminal(
    CallContext& /*call*/, agent::v1::ResizeTerminalRequest request) {
  CO_TRY(check_configured());
  CO_TRY(containers_.resize(request.container_id(), request.exec_id(), request.rows(),
                            request.columns()));
  co_return agent::v1::ResizeTerminalResponse();
}

// Legal for any container; changes nothing. What does not fit the answer is left out at its end.
Task<agent::v1::ListProcessesResponse> Agent::list_processes(
    CallContext& /*call*/, agent::v1::ListProcessesRequest request) {
  CO_TRY(check_configured());
  const auto entries = CO_TRY(containers_.list(request.container_id()));
  agent::v1::ListProcessesResponse response;
  std::size_t bytes = 0;
  for (const ProcessEntry& entry : entries) {
    fill(*response.add_processes(), entry);
    bytes += response.processes().rbegin()->ByteSizeLong() + 8;
    if (bytes > kMaxListBytes) break;
  }
  co_return response;
}

// Legal when running. A failure leaves it running.
Task<agent::v1::PauseContainerResponse> Agent::pause_container(
    CallContext& /*call*/, agent::v1::PauseContainerRequest request) {
  CO_TRY(check_configured());
  auto paused = co_await containers_.pause(request.container_id());
  CO_TRY(std::move(paused));
  co_return agent::v1::PauseContainerResponse();
}

// Legal when paused. A failure leaves it paused.
Task<agent::v1::ResumeContainerResponse> Agent::resume_container(
    CallContext& /*call*/, agent::v1::ResumeContainerRequest request) {
  CO_TRY(check_configured());
  auto resumed = co_await containers_.resume(request.container_id());
  CO_TRY(std::move(resumed));
  co_return agent::v1::ResumeContainerResponse();
}

// Legal while init lives. A failure leaves the limits that were already written.
Task<agent::v1::UpdateContainerResponse> Agent::update_container(
    CallContext& /*call*/, agent::v1::UpdateContainerRequest request) {
  CO_TRY(check_configured());
  CO_TRY(containers_.update(request.container_id(), request.resources_json()));
  co_return agent::v1::UpdateContainerResponse();
}

// Legal always. A failure leaves in use what is.
Task<agent::v1::GrowGuestResponse> Agent::grow_guest(CallContext& /*call*/,
                                                     agent::v1::GrowGuestRequest request) {
  CO_TRY(check_configured());
  auto grown = co_await growth_.grow(request);
  co_return grown;
}

// Legal for any container; changes nothing.
Task<agent::v1::ContainerStatsResponse> Agent::container_stats(
    CallContext& /*call*/, agent::v1::ContainerStatsRequest request) {
  CO_TRY(check_configured());
  co_return containers_.stats(request.container_id());
}

// Legal for any container that is not being created or deleted. A failure leaves it stopped.
Task<agent::v1::DeleteContainerResponse> Agent::delete_container(
    CallContext& /*call*/, agent::v1::DeleteContainerRequest request) {
  CO_TRY(check_configured());
  auto erased = co_await containers_.erase(request.container_id());
  CO_TRY(std::move(erased));
  co_return agent::v1::DeleteContainerResponse();
}

// Legal always, also before Configure. Cannot fail: what does not end by itself ends with the VM.
Task<agent::v1::ShutdownResponse> Agent::shutdown(CallContext& /*call*/,
                                                  agent::v1::ShutdownRequest /*request*/) {
  asio::co_spawn(executor_, end_guest(), asio::detached);
  co_return agent::v1::ShutdownResponse();
}

asio::awaitable<void> Agent::end_guest() {
  if (phase_ == Phase::ending) co_return;
  phase_ = Phase::ending;
  containers_.kill_all();
  // A share whose server is gone never answers: sync for a while, then end anyway.
  SlowCall sync{SYS_sync, {}};
  (void)co_await call_apart(reaper_, "sync", sync, kSyncPatience);
  setup_.power_off();
}

}  // namespace agentvm::guest
