#include "runtime/container/exec.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <memory>

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "oci/spec_writer.h"
#include "runtime/channel.h"
#include "runtime/console.h"
#include "runtime/container/state_document.h"
#include "runtime/guest_spec.h"
#include "runtime/host_cgroup.h"
#include "runtime/orphan.h"
#include "runtime/process_title.h"
#include "runtime/session/guest_process.h"

namespace agentvm::runtime {

namespace {

std::string make_exec_id() {
  return "exec-" + hexadecimal(sys::random_bytes(8));
}

Result<OpenContainer> open_for_exec(const Engine& engine, const ExecRequest& request) {
  auto opened = TRY(open_container(engine, request.id));
  const Status status = effective_status(opened.record);
  if (status == Status::paused && request.ignore_paused) {
    return fail(ErrorKind::failed_precondition,
                "cannot exec in a paused container: its processes, new ones too, are frozen");
  }
  TRY(allow(status, oci::Event::exec, request.id));
  return opened;
}

// The session of one exec, on either kind of stand-in. `running` is told once the process runs.
Task<InitExit> run_session(GuestLink link, std::string exec_id, const ExecRequest& request,
                           HostStdio stdio, std::function<Result<void>()> running) {
  auto opened = co_await both(connect_agent(link), ProcessStreams::open(link, std::move(stdio)));
  auto [connected, streams] = CO_TRY(std::move(opened));
  std::shared_ptr<rpc::AgentClient> agent = std::move(connected);
  agent::v1::ExecProcessRequest call;
  call.set_container_id(request.id);
  call.set_exec_id(exec_id);
  const GuestProcess planned = plan_guest_process(request.process);
  for (const std::string& note : planned.notes) log::info("exec in '{}': {}", request.id, note);
  call.set_process_json(oci::write_process(planned.process));
  call.set_cgroup(request.cgroup);
  *call.mutable_stdio() = streams->ids();
  auto answer = co_await agent->exec_process(call, link.timeout);
  CO_TRY(std::move(answer));
  CO_TRY(running());
  const GuestProcessId process{request.id, exec_id};
  SignalRelay signals(co_await asio::this_coro::executor, agent, process, streams->terminal());
  streams->start();
  co_return co_await wait_process(*agent, process, *streams);
}

Result<InitExit> run_blocking(GuestLink link, const std::string& exec_id,
                              const ExecRequest& request, HostStdio stdio,
                              std::function<Result<void>()> running) {
  asio::io_context io(1);
  return run_to_end(io, run_session(link, exec_id, request, std::move(stdio), std::move(running)));
}

void record_exec(const StateDir& dir, const std::string& exec_id, bool running) {
  auto lock = dir.lock(kVerbLockDeadline);
  if (!lock) return;
  auto record = dir.load();
  if (!record) return;
  std::erase_if(record->execs, [](const ExecRecord& exec) { return !is_alive(exec.stand_in); });
  if (running) {
    auto self = refer_to_process(::getpid());
    if (self) record->execs.push_back({exec_id, *self});
  } else {
    std::erase_if(record->execs, [&](const ExecRecord& exec) { return exec.id == exec_id; });
  }
  if (auto stored = dir.store(*record, *lock); !stored) {
    log::warning("container '{}': {}", record->id, stored.error().text());
  }
}

struct Detached {
  OpenContainer container;
  HostStdio stdio;
  bool own_terminal = false;
};

Result<Detached> prepare_detached(const Engine& engine, const ExecRequest& request) {
  auto container = TRY(open_for_exec(engine, request));
  Detached detached{std::move(container), {}, false};
  if (!request.process.terminal) {
    detached.stdio = TRY(inherit_stdio());
    return detached;
  }
  auto pty = TRY(open_pty());
  if (const auto size = request.process.console_size) {
    TRY(set_window_size(pty.slave.get(), {size->height, size->width}));
  }
  TRY(send_console(request.console_socket, pty));
  detached.stdio.terminal = std::move(pty.slave);
  detached.own_terminal = true;
  return detached;
}

// In the orphan: stands in for the process and ends as it ends.
[[noreturn]] void stand_in(const Engine& engine, const ExecRequest& request, Detached& detached,
                           Channel channel) {
  const auto& [dir, record] = detached.container;
  set_process_title(request.process.args);
  if (detached.own_terminal) {
    (void)take_controlling_terminal(detached.stdio.terminal.get());
  }
  detach_stdio();
  const std::string exec_id = make_exec_id();
  if (!record.cgroup.dirs.empty()) {
    if (auto joined = HostCgroup::adopt(record.cgroup).join(0); !joined) {
      (void)channel.send({MessageType::failed, "", std::move(joined).error()});
      ::_exit(1);
    }
  }
  bool told = false;
  auto outcome = run_blocking({dir.fd(), engine.config.vm.request_timeout}, exec_id, request,
                              std::move(detached.stdio), [&] {
                                record_exec(dir, exec_id, true);
                                told = true;
                                return channel.send({MessageType::created, "", {}});
                              });
  if (!told) {
    (void)channel.send({MessageType::failed, "", std::move(outcome).error()});
    ::_exit(1);
  }
  record_exec(dir, exec_id, false);
  end_as(outcome.value_or(InitExit{0, SIGKILL}));
}

}  // namespace

Result<InitExit> exec_attached(const Engine& engine, const ExecRequest& request) {
  const auto [dir, record] = TRY(open_for_exec(engine, request));
  HostStdio stdio;
  std::unique_ptr<RawTerminal> raw;
  if (request.process.terminal) {
    stdio.terminal = TRY(inherit_terminal());
    raw = TRY(RawTerminal::create(stdio.terminal.get()));
  } else {
    stdio = TRY(inherit_stdio());
  }
  return run_blocking({dir.fd(), engine.config.vm.request_timeout}, make_exec_id(), request,
                      std::move(stdio), [] { return Result<void>{}; });
}

Result<pid_t> exec_detached(const Engine& engine, const ExecRequest& request) {
  Detached detached = TRY(prepare_detached(engine, request));
  auto ends = TRY(sys::socket_pair(SOCK_STREAM));
  const pid_t pid = TRY(spawn_orphan([&] {
    ends.first.reset();
    stand_in(engine, request, detached, Channel(std::move(ends.second)));
  }));
  ends.second.reset();
  Channel channel(std::move(ends.first));
  TRY(channel.expect(MessageType::created, 4 * engine.config.vm.request_timeout,
                     "the stand-in of the exec"));
  return pid;
}

}  // namespace agentvm::runtime
