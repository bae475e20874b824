#include "shim/task_service.h"

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <limits>

#include "oci/base/log.h"
#include "oci/base/try.h"
#include "rpc/containerd/events.pb.h"
#include "rpc/payload.h"
#include "shim/metrics.h"

namespace agentvm::shim {

using containerd::types::Empty;

namespace {

containerd::types::Status status_of(ProcessStatus status) {
  switch (status) {
    case ProcessStatus::created:
      return containerd::types::CREATED;
    case ProcessStatus::running:
      return containerd::types::RUNNING;
    case ProcessStatus::paused:
      return containerd::types::PAUSED;
    case ProcessStatus::stopped:
      return containerd::types::STOPPED;
  }
  return containerd::types::UNKNOWN;
}

// What was killed ends once its last output is written, which may be never where nobody reads it.
constexpr std::chrono::milliseconds kKillPatience{5000};

asio::awaitable<void> see_to_death(std::shared_ptr<Process> process) {
  const bool ended = co_await process->ended.wait_for(kKillPatience);
  if (ended || process->exit) co_return;
  log::warning("container '{}': its output is not read; killing it", process->container_id);
  (void)::kill(process->pid, SIGKILL);
}

template <class Request, class Response>
Task<std::string> dispatch(TaskService& service, Task<Response> (TaskService::*method)(Request),
                           const char* name, std::string payload) {
  Request request;
  if (!rpc::deserialize(payload, request)) {
    co_return fail(ErrorKind::invalid_argument, fmt::format("not a {} request", name));
  }
  payload.clear();
  auto result = co_await (service.*method)(std::move(request));
  if (!result) log::debug("{}: {}", name, result.error().text());
  const Response response = CO_TRY(std::move(result));
  co_return rpc::serialize(response);
}

}  // namespace

template <class Request, class Response>
void TaskService::add(rpc::Server& server, const char* name,
                      Task<Response> (TaskService::*method)(Request)) {
  for (const char* service : {"containerd.task.v2.Task", "containerd.task.v3.Task"}) {
    server.handle(service, name, [this, method, name](rpc::CallContext&, std::string payload) {
      return dispatch(*this, method, name, std::move(payload));
    });
  }
}

void TaskService::add_to(rpc::Server& server) {
  add(server, "State", &TaskService::state);
  add(server, "Create", &TaskService::create);
  add(server, "Start", &TaskService::start);
  add(server, "Delete", &TaskService::remove);
  add(server, "Pids", &TaskService::pids);
  add(server, "Pause", &TaskService::pause);
  add(server, "Resume", &TaskService::resume);
  add(server, "Kill", &TaskService::kill);
  add(server, "Exec", &TaskService::exec);
  add(server, "ResizePty", &TaskService::resize);
  add(server, "CloseIO", &TaskService::close_io);
  add(server, "Update", &TaskService::update);
  add(server, "Wait", &TaskService::wait);
  add(server, "Stats", &TaskService::stats);
  add(server, "Connect", &TaskService::connect);
  add(server, "Shutdown", &TaskService::shutdown);
}

Task<task::StateResponse> TaskService::state(task::StateRequest request) {
  const auto container = CO_TRY(in_.containers.find(request.id()));
  const auto process = CO_TRY(in_.containers.find(request.id(), request.exec_id()));
  task::StateResponse response;
  response.set_id(process->is_exec() ? process->exec_id : container->id);
  response.set_exec_id(process->exec_id);
  response.set_bundle(container->bundle);
  response.set_pid(static_cast<std::uint32_t>(process->pid));
  response.set_status(status_of(process->status));
  response.set_stdin(process->streams.in);
  response.set_stdout(process->streams.out);
  response.set_stderr(process->streams.err);
  response.set_terminal(process->streams.terminal);
  if (process->exit) {
    response.set_exit_status(process->exit->status);
    *response.mutable_exited_at() = to_timestamp(process->exit->at);
  }
  co_return response;
}

Task<task::CreateTaskResponse> TaskService::create(task::CreateTaskRequest request) {
  auto created = co_await create_container(in_, std::move(request));
  const pid_t pid = CO_TRY(std::move(created));
  task::CreateTaskResponse response;
  response.set_pid(static_cast<std::uint32_t>(pid));
  co_return response;
}

Task<task::StartResponse> TaskService::start(task::StartRequest request) {
  auto started = co_await start_process(in_, request.id(), request.exec_id());
  const pid_t pid = CO_TRY(std::move(started));
  task::StartResponse response;
  response.set_pid(static_cast<std::uint32_t>(pid));
  co_return response;
}

Task<task::DeleteResponse> TaskService::remove(task::DeleteRequest request) {
  auto outcome = co_await delete_process(in_, request.id(), request.exec_id());
  const Deleted deleted = CO_TRY(std::move(outcome));
  task::DeleteResponse response;
  response.set_pid(static_cast<std::uint32_t>(deleted.pid));
  response.set_exit_status(deleted.exit.status);
  *response.mutable_exited_at() = to_timestamp(deleted.exit.at);
  co_return response;
}

// The host's processes that stand for the container's: Docker hands them to the host's ps. One that
// has ended still has its own: a containerd 1.7 that was restarted takes a task without processes
// for a leaked one, and nobody would learn how it ended.
Task<task::PidsResponse> TaskService::pids(task::PidsRequest request) {
  const auto container = CO_TRY(in_.containers.find(request.id()));
  task::PidsResponse response;
  response.add_processes()->set_pid(static_cast<std::uint32_t>(container->init->pid));
  for (const auto& [name, exec] : container->execs) {
    if (exec->status != ProcessStatus::running) continue;
    auto& process = *response.add_processes();
    process.set_pid(static_cast<std::uint32_t>(exec->pid));
    containerd::types::ProcessDetails details;
    details.set_exec_id(name);
    process.mutable_info()->set_type_url("containerd.runc.v1.ProcessDetails");
    process.mutable_info()->set_value(rpc::serialize(details));
  }
  co_return response;
}

Task<void> TaskService::freeze(std::string id, Verb verb, ProcessStatus then) {
  const auto container = CO_TRY(in_.containers.find(id));
  const Request request = verb == Verb::pause ? Request::pause : Request::resume;
  CO_TRY(allow(container->init->status, request, false));
  const VerbRequest call = container->make_verb(verb);
  auto done = co_await run_verb(in_.reaper, call);
  CO_TRY(std::move(done));
  if (container->init->status != ProcessStatus::stopped) container->init->status = then;
  co_return Result<void>{};
}

Task<Empty> TaskService::pause(task::PauseRequest request) {
  auto done = co_await freeze(request.id(), Verb::pause, ProcessStatus::paused);
  CO_TRY(std::move(done));
  containerd::events::TaskPaused event;
  event.set_container_id(request.id());
  in_.events.publish("/tasks/paused", "containerd.events.TaskPaused", event);
  co_return Empty();
}

Task<Empty> TaskService::resume(task::ResumeRequest request) {
  auto done = co_await freeze(request.id(), Verb::resume, ProcessStatus::running);
  CO_TRY(std::move(done));
  containerd::events::TaskResumed event;
  event.set_container_id(request.id());
  in_.events.publish("/tasks/resumed", "containerd.events.TaskResumed", event);
  co_return Empty();
}

Task<Empty> TaskService::kill(task::KillRequest request) {
  const auto container = CO_TRY(in_.containers.find(request.id()));
  const auto process = CO_TRY(in_.containers.find(request.id(), request.exec_id()));
  CO_TRY(allow(process->status, Request::kill, process->is_exec()));
  if (request.signal() == 0 || request.signal() > static_cast<std::uint32_t>(SIGRTMAX)) {
    co_return fail(ErrorKind::invalid_argument, fmt::format("unknown signal {}", request.signal()));
  }
  if (process->is_exec() && process->guest_name.empty()) {
    co_return fail(ErrorKind::not_found, "process already finished");
  }
  auto sent =
      co_await container->guest->signal(process->guest_name, request.signal(), request.all());
  const bool silent = !sent && sent.error().kind == ErrorKind::unavailable;
  if (silent && request.signal() == SIGKILL && !process->exit) {
    // The guest does not answer: the stand-in goes, and with an init's the VM. Its pid is its own
    // until we have reaped it.
    log::warning("container '{}': {}; killing it", container->id, sent.error().text());
    (void)::kill(process->pid, SIGKILL);
    co_return Empty();
  }
  CO_TRY(std::move(sent));
  if (request.signal() == SIGKILL) {
    const auto executor = co_await asio::this_coro::executor;
    asio::co_spawn(executor, see_to_death(process), asio::detached);
  }
  co_return Empty();
}

Task<Empty> TaskService::exec(task::ExecProcessRequest request) {
  auto added = co_await add_exec(in_, std::move(request));
  CO_TRY(std::move(added));
  co_return Empty();
}

Task<Empty> TaskService::resize(task::ResizePtyRequest request) {
  const auto process = CO_TRY(in_.containers.find(request.id(), request.exec_id()));
  constexpr std::uint32_t kMost = std::numeric_limits<std::uint16_t>::max();
  if (request.width() > kMost || request.height() > kMost) {
    co_return fail(ErrorKind::invalid_argument, "a terminal of that size does not exist");
  }
  process->window = runtime::WindowSize{static_cast<std::uint16_t>(request.height()),
                                        static_cast<std::uint16_t>(request.width())};
  if (process->io) CO_TRY(process->io->resize(*process->window));
  co_return Empty();
}

Task<Empty> TaskService::close_io(task::CloseIORequest request) {
  const auto process = CO_TRY(in_.containers.find(request.id(), request.exec_id()));
  if (!request.stdin()) co_return Empty();
  process->stdin_closed = true;
  if (process->io) process->io->close_stdin();
  co_return Empty();
}

Task<Empty> TaskService::update(task::UpdateTaskRequest request) {
  const auto container = CO_TRY(in_.containers.find(request.id()));
  CO_TRY(allow(container->init->status, Request::update, false));
  if (!request.resources().type_url().ends_with("LinuxResources")) {
    co_return fail(ErrorKind::invalid_argument,
                   fmt::format("resources of type '{}': only LinuxResources can be changed",
                               request.resources().type_url()));
  }
  VerbRequest verb = container->make_verb(Verb::update);
  verb.document = request.resources().value();
  auto done = co_await run_verb(in_.reaper, verb);
  CO_TRY(std::move(done));
  co_return Empty();
}

Task<task::WaitResponse> TaskService::wait(task::WaitRequest request) {
  const auto process = CO_TRY(in_.containers.find(request.id(), request.exec_id()));
  co_await process->ended.wait();
  if (!process->exit) co_return fail(ErrorKind::unavailable, "the shim is being shut down");
  task::WaitResponse response;
  response.set_exit_status(process->exit->status);
  *response.mutable_exited_at() = to_timestamp(process->exit->at);
  co_return response;
}

Task<task::StatsResponse> TaskService::stats(task::StatsRequest request) {
  const auto container = CO_TRY(in_.containers.find(request.id()));
  CO_TRY(allow(container->init->status, Request::inspect, false));
  auto counted = co_await container->guest->stats();
  const agent::v1::ContainerStatsResponse stats = CO_TRY(std::move(counted));
  task::StatsResponse response;
  *response.mutable_stats() = make_metrics(stats, host_is_unified());
  co_return response;
}

// containerd asks this of a shim that it finds after a restart.
Task<task::ConnectResponse> TaskService::connect(task::ConnectRequest request) {
  task::ConnectResponse response;
  response.set_shim_pid(static_cast<std::uint32_t>(::getpid()));
  if (const auto container = in_.containers.find(request.id()); container) {
    response.set_task_pid(static_cast<std::uint32_t>((*container)->init->pid));
  }
  co_return response;
}

Task<Empty> TaskService::shutdown(task::ShutdownRequest /*request*/) {
  if (in_.containers.empty()) stop_();
  co_return Empty();
}

}  // namespace agentvm::shim
