#include "shim/lifecycle.h"

#include <fmt/format.h>

#include <csignal>

#include "oci/base/log.h"
#include "oci/base/try.h"
#include "rpc/containerd/events.pb.h"
#include "runtime/state_dir.h"
#include "shim/options.h"

namespace agentvm::shim {

namespace events = containerd::events;

namespace {

// For the execs of a container whose init has ended; their stand-ins end with the VM.
constexpr std::chrono::milliseconds kExecPatience{2000};
constexpr std::chrono::milliseconds kExitPatience{10000};

Result<VerbRequest> verb_base(const Surroundings& in, const task::CreateTaskRequest& request) {
  TRY(runtime::check_container_id(request.id()));
  if (!request.checkpoint().empty()) {
    return fail(ErrorKind::invalid_argument,
                "a checkpoint cannot be restored: agentvm does not save running containers");
  }
  if (!request.bundle().starts_with('/')) {
    return fail(ErrorKind::invalid_argument, "the bundle must be an absolute path");
  }
  const RuntimeChoice choice = TRY(read_options(request.options()));
  if (!choice.note.empty()) log::warning("{}", choice.note);
  VerbRequest verb;
  verb.root = in.state_root;
  verb.config_path = choice.config_path;
  verb.systemd_cgroup = choice.systemd_cgroup;
  verb.id = request.id();
  verb.bundle = request.bundle();
  return verb;
}

void publish_create(const Surroundings& in, const task::CreateTaskRequest& request, pid_t pid) {
  events::TaskCreate event;
  event.set_container_id(request.id());
  event.set_bundle(request.bundle());
  *event.mutable_rootfs() = request.rootfs();
  event.mutable_io()->set_stdin(request.stdin());
  event.mutable_io()->set_stdout(request.stdout());
  event.mutable_io()->set_stderr(request.stderr());
  event.mutable_io()->set_terminal(request.terminal());
  event.set_pid(static_cast<std::uint32_t>(pid));
  in.events.publish("/tasks/create", "containerd.events.TaskCreate", event);
}

void publish_start(const Surroundings& in, const Process& process) {
  if (process.is_exec()) {
    events::TaskExecStarted event;
    event.set_container_id(process.container_id);
    event.set_exec_id(process.exec_id);
    event.set_pid(static_cast<std::uint32_t>(process.pid));
    in.events.publish("/tasks/exec-started", "containerd.events.TaskExecStarted", event);
    return;
  }
  events::TaskStart event;
  event.set_container_id(process.container_id);
  event.set_pid(static_cast<std::uint32_t>(process.pid));
  in.events.publish("/tasks/start", "containerd.events.TaskStart", event);
}

void publish_exit(const Surroundings& in, const Process& process) {
  events::TaskExit event;
  event.set_container_id(process.container_id);
  event.set_id(process.is_exec() ? process.exec_id : process.container_id);
  event.set_pid(static_cast<std::uint32_t>(process.pid));
  event.set_exit_status(process.exit->status);
  *event.mutable_exited_at() = to_timestamp(process.exit->at);
  in.events.publish("/tasks/exit", "containerd.events.TaskExit", event);
}

void publish_delete(const Surroundings& in, const Process& init) {
  events::TaskDelete event;
  event.set_container_id(init.container_id);
  event.set_pid(static_cast<std::uint32_t>(init.pid));
  event.set_exit_status(init.exit->status);
  *event.mutable_exited_at() = to_timestamp(init.exit->at);
  in.events.publish("/tasks/delete", "containerd.events.TaskDelete", event);
}

asio::awaitable<void> end_io(std::shared_ptr<Process> process) {
  if (process->io) co_await process->io->end();
  process->io.reset();
}

// Until each exec that runs has ended and said so; what does not end is killed.
asio::awaitable<void> wait_execs(std::shared_ptr<Container> container) {
  const auto execs = container->execs;
  // One that is being started comes to be, or fails without its VM.
  for (const auto& [name, exec] : execs) (void)co_await exec->lock.lock();
  for (const bool last : {false, true}) {
    const auto until = std::chrono::steady_clock::now() + kExecPatience;
    for (const auto& [name, exec] : execs) {
      if (exec->pid == 0) continue;
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          until - std::chrono::steady_clock::now());
      if (co_await exec->ended.wait_for(std::max(left, std::chrono::milliseconds(0)))) continue;
      if (!last) (void)::kill(exec->pid, SIGKILL);
    }
  }
}

// The process has ended: its stand-in has been reaped, or has said so before; once.
asio::awaitable<void> finish(Surroundings& in, std::shared_ptr<Container> container,
                             std::shared_ptr<Process> process, std::uint32_t status, TimePoint at) {
  {
    const auto held = co_await process->lock.lock();
    if (process->exit) co_return;
    if (!process->is_exec()) co_await wait_execs(container);
    process->status = ProcessStatus::stopped;
    process->exit = Exit{status, at};
    publish_exit(in, *process);
    process->ended.set();
  }
  co_await end_io(process);
}

void follow(Surroundings& in, const std::shared_ptr<Container>& container,
            const std::shared_ptr<Process>& process, const asio::any_io_executor& executor) {
  in.reaper.watch(process->pid, [&in, container, process, executor](int status) {
    asio::co_spawn(
        executor,
        finish(in, container, process, exit_status_of(status), std::chrono::system_clock::now()),
        asio::detached);
  });
}

// containerd learns of an init's exit before the VM is taken down.
asio::awaitable<void> follow_record(Surroundings& in, std::shared_ptr<Container> container) {
  const auto guest = container->guest;
  const auto recorded = co_await guest->wait_recorded_exit();
  if (!recorded) co_return;  // the stand-in's own end tells it
  const std::uint32_t status =
      recorded->signal != 0 ? 128 + recorded->signal : recorded->code & 0xff;
  co_await finish(in, container, container->init, status, std::chrono::system_clock::now());
}

// Each time that the guest's kernel has killed for want of memory, until init ends.
asio::awaitable<void> report_ooms(Surroundings& in, std::shared_ptr<Guest> guest, std::string id) {
  std::uint64_t seen = 0;
  for (bool exited = false; !exited;) {
    auto answered = co_await guest->wait_oom(seen);
    if (!answered) co_return;
    exited = answered->exited();
    if (answered->oom_kills() <= seen) continue;
    seen = answered->oom_kills();
    events::TaskOOM event;
    event.set_container_id(id);
    in.events.publish("/tasks/oom", "containerd.events.TaskOOM", event);
  }
}

Result<std::shared_ptr<Container>> plan_container(const Surroundings& in,
                                                  const asio::any_io_executor& executor,
                                                  const task::CreateTaskRequest& request) {
  auto container = std::make_shared<Container>();
  container->id = request.id();
  container->bundle = request.bundle();
  container->verb = TRY(verb_base(in, request));
  container->init = std::make_shared<Process>(
      executor, request.id(), "",
      IoRequest{request.stdin(), request.stdout(), request.stderr(), request.terminal()});
  return container;
}

std::shared_ptr<Process> plan_exec(const asio::any_io_executor& executor,
                                   const task::ExecProcessRequest& request) {
  auto process = std::make_shared<Process>(
      executor, request.id(), request.exec_id(),
      IoRequest{request.stdin(), request.stdout(), request.stderr(), request.terminal()});
  process->document = request.spec().value();
  return process;
}

// The container's own is made, and its bytes may flow.
Result<void> take_over(const Surroundings& in, Container& container) {
  TRY(container.init->io->started());
  container.guest = TRY(Guest::open(in.state_root, container.id));
  return {};
}

Task<std::unique_ptr<ProcessIo>> open_io(const Surroundings& in, const Container& container,
                                         const Process& process) {
  // Named: README.md, "Coroutines".
  IoOwner owner{in.name_space, container.id, container.bundle};
  return ProcessIo::open(in.reaper, std::move(owner), process.streams);
}

// With the id reserved.
Task<pid_t> make_container(Surroundings& in, task::CreateTaskRequest request) {
  const auto executor = co_await asio::this_coro::executor;
  const auto container = CO_TRY(plan_container(in, executor, request));
  Process& init = *container->init;
  const auto held = co_await init.lock.lock();
  auto io = co_await open_io(in, *container, init);
  init.io = CO_TRY(std::move(io));
  VerbRequest verb = container->make_verb(Verb::create);
  for (const auto& mount : request.rootfs()) {
    verb.rootfs.push_back(
        {mount.type(), mount.source(), {mount.options().begin(), mount.options().end()}});
  }
  verb.console_socket = init.io->console_socket();
  const Reaper::Hold hold(in.reaper);
  auto made = co_await run_verb(in.reaper, verb, init.io->verb_stdio());
  init.pid = CO_TRY(std::move(made));
  if (auto taken = take_over(in, *container); !taken) {
    (void)::kill(init.pid, SIGKILL);
    verb = container->make_verb(Verb::remove);
    auto undone = co_await run_verb(in.reaper, verb);
    Error error = std::move(taken).error();
    co_return std::unexpected(undone ? std::move(error) : std::move(error).also(undone.error()));
  }
  in.containers.add(container);
  publish_create(in, request, init.pid);
  follow(in, container, container->init, executor);
  asio::co_spawn(executor, follow_record(in, container), asio::detached);
  co_return init.pid;
}

// Ends with `process` running, its lock held by the caller.
Task<void> start_init(Surroundings& in, std::shared_ptr<Container> container) {
  const VerbRequest verb = container->make_verb(Verb::start);
  auto started = co_await run_verb(in.reaper, verb);
  CO_TRY(std::move(started));
  co_return Result<void>{};
}

Task<void> start_exec(Surroundings& in, std::shared_ptr<Container> container,
                      std::shared_ptr<Process> process) {
  const auto executor = co_await asio::this_coro::executor;
  CO_TRY(allow(container->init->status, Request::exec, false));
  auto io = co_await open_io(in, *container, *process);
  process->io = CO_TRY(std::move(io));
  VerbRequest verb = container->make_verb(Verb::exec);
  verb.document = process->document;
  verb.console_socket = process->io->console_socket();
  const Reaper::Hold hold(in.reaper);
  auto made = co_await run_verb(in.reaper, verb, process->io->verb_stdio());
  process->pid = CO_TRY(std::move(made));
  follow(in, container, process, executor);
  // One that has ended already has no name any more, and needs none.
  process->guest_name = container->guest->exec_name(process->pid).value_or("");
  if (auto flows = process->io->started(); !flows) {
    (void)::kill(process->pid, SIGKILL);
    co_return flows;
  }
  if (process->stdin_closed) process->io->close_stdin();
  if (process->window) CO_TRY(process->io->resize(*process->window));
  co_return Result<void>{};
}

// An exec that could not be started never runs: who waits for it is told.
asio::awaitable<void> give_up(std::shared_ptr<Process> process) {
  co_await end_io(process);
  process->status = ProcessStatus::stopped;
  process->exit = Exit{255, std::chrono::system_clock::now()};
  process->ended.set();
}

Task<Deleted> delete_exec(Surroundings& in, std::string id, std::string exec_id) {
  const auto container = CO_TRY(in.containers.find(id));
  const auto process = CO_TRY(in.containers.find(id, exec_id));
  const auto held = co_await process->lock.lock();
  CO_TRY(allow(process->status, Request::remove, true));
  container->execs.erase(exec_id);
  if (!process->exit) co_await give_up(process);
  const Deleted deleted{process->pid, *process->exit};
  co_return deleted;
}

Task<void> remove_from_host(Surroundings& in, std::shared_ptr<Container> container) {
  const auto held = co_await container->init->lock.lock();
  CO_TRY(in.containers.find(container->id));  // somebody else may have been faster
  CO_TRY(allow(container->init->status, Request::remove, false));
  const VerbRequest verb = container->make_verb(Verb::remove);
  auto removed = co_await run_verb(in.reaper, verb);
  if (!removed && removed.error().kind != ErrorKind::not_found) {
    co_return std::unexpected(std::move(removed).error());
  }
  co_return Result<void>{};
}

}  // namespace

Task<pid_t> create_container(Surroundings& in, task::CreateTaskRequest request) {
  const std::string id = request.id();
  CO_TRY(in.containers.reserve(id));
  auto made = co_await make_container(in, std::move(request));
  if (!made) in.containers.give_back(id);
  co_return made;
}

Task<void> add_exec(Surroundings& in, task::ExecProcessRequest request) {
  const auto container = CO_TRY(in.containers.find(request.id()));
  CO_TRY(runtime::check_container_id(request.exec_id()));
  if (container->execs.contains(request.exec_id())) {
    co_return fail(ErrorKind::already_exists,
                   fmt::format("process '{}' already exists", request.exec_id()));
  }
  CO_TRY(allow(container->init->status, Request::exec, false));
  if (container->execs.size() >= Containers::kMostExecs) {
    co_return fail(ErrorKind::failed_precondition, "the container has too many processes");
  }
  const auto executor = co_await asio::this_coro::executor;
  container->execs[request.exec_id()] = plan_exec(executor, request);
  events::TaskExecAdded event;
  event.set_container_id(request.id());
  event.set_exec_id(request.exec_id());
  in.events.publish("/tasks/exec-added", "containerd.events.TaskExecAdded", event);
  co_return Result<void>{};
}

Task<pid_t> start_process(Surroundings& in, std::string id, std::string exec_id) {
  const auto executor = co_await asio::this_coro::executor;
  const auto container = CO_TRY(in.containers.find(id));
  const auto process = CO_TRY(in.containers.find(id, exec_id));
  const auto held = co_await process->lock.lock();
  CO_TRY(allow(process->status, Request::start, process->is_exec()));
  Result<void> started;
  if (process->is_exec()) {
    started = co_await start_exec(in, container, process);
  } else {
    started = co_await start_init(in, container);
  }
  if (!started) {
    if (process->is_exec() && process->pid == 0) co_await give_up(process);
    co_return std::unexpected(std::move(started).error());
  }
  process->status = ProcessStatus::running;
  process->document.clear();
  publish_start(in, *process);
  if (!process->is_exec()) {
    asio::co_spawn(executor, report_ooms(in, container->guest, container->id), asio::detached);
  }
  co_return process->pid;
}

Task<Deleted> delete_process(Surroundings& in, std::string id, std::string exec_id) {
  if (!exec_id.empty()) co_return co_await delete_exec(in, id, exec_id);
  const auto container = CO_TRY(in.containers.find(id));
  const auto init = container->init;
  auto removed = co_await remove_from_host(in, container);
  CO_TRY(std::move(removed));
  // Of one that was never started the stand-in has just been killed.
  if (!co_await init->ended.wait_for(kExitPatience)) {
    co_return fail(ErrorKind::unavailable, "the container's stand-in does not end");
  }
  for (const auto& [name, exec] : container->execs) {
    if (!exec->exit) co_await give_up(exec);
  }
  in.containers.remove(id);
  publish_delete(in, *init);
  const Deleted deleted{init->pid, *init->exit};
  co_return deleted;
}

}  // namespace agentvm::shim
