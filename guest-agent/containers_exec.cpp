// Containers: exec and the end of an exec.
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "guest-agent/containers.h"
#include "oci/base/try.h"
#include "oci/spec_parser.h"

namespace agentvm::guest {

namespace {

std::size_t count_alive(const Container& container) {
  return static_cast<std::size_t>(std::ranges::count_if(container.execs, [](const auto& entry) {
    return !entry.second || !entry.second->has_exited();
  }));
}

}  // namespace

Task<pid_t> Containers::exec(ExecOrder order, std::shared_ptr<rpc::Connection> owner) {
  const Shared container = CO_TRY(find(order.container_id));
  CO_TRY(next_status(container->status, ContainerEvent::exec));
  CO_TRY(check_name(order.exec_id, "exec id"));
  if (container->execs.contains(order.exec_id)) {
    co_return fail(ErrorKind::already_exists, fmt::format("exec id '{}' is in use", order.exec_id));
  }
  if (count_alive(*container) >= kMaxExecs) {
    co_return fail(ErrorKind::failed_precondition,
                   fmt::format("more than {} execs in one container", kMaxExecs));
  }
  // Takes the name while the launch is at work.
  container->execs[order.exec_id] = nullptr;
  auto launched = co_await launch_in(container, order, std::move(owner));
  if (!launched) {
    container->execs.erase(order.exec_id);
    co_return std::unexpected(std::move(launched).error());
  }
  co_return (*launched)->pid();
}

Result<std::string> Containers::place_exec(const Container& container,
                                           const std::string& suffix) const {
  if (suffix.empty()) return container.cgroup->place_for_exec(container.init->pid());
  return make_inner_cgroup(container.cgroup->path(), suffix);
}

Task<std::shared_ptr<Process>> Containers::launch_in(Shared container, const ExecOrder& order,
                                                     std::shared_ptr<rpc::Connection> owner) {
  ExecLaunch launch;
  launch.process = CO_TRY(oci::parse_process(order.process_json));
  launch.cgroup = CO_TRY(place_exec(*container, order.cgroup));
  launch.init_pid = container->init->pid();
  launch.spec = container->spec;
  launch.seccomp = container->seccomp;
  const bool terminal = launch.process.terminal;
  const auto console_size = launch.process.console_size;
  auto io = CO_TRY(ProcessIo::create(executor_, streams_, order.streams, terminal));
  launch.stdio = io->take_child_side();

  const auto launching = reaper_.launching();
  auto outcome = co_await launch_exec(std::move(launch));
  const auto launched = CO_TRY(std::move(outcome));
  if (terminal) CO_TRY(io->set_terminal(launched->take_terminal(), console_size));
  const auto process = std::make_shared<Process>(executor_, launched->pid(), io);
  // The container may have ended or been paused meanwhile; the launch is killed on this way out.
  CO_TRY(next_status(container->status, ContainerEvent::exec));
  io->start();
  auto started = co_await launched->start("");
  if (!started) {
    (void)process->signal(SIGKILL);
    io->abort();
    co_return std::unexpected(std::move(started).error());
  }
  container->execs[order.exec_id] = process;
  reaper_.watch(launched->pid(), [this, container, process, id = order.exec_id](int wait_status) {
    note_exit(*container, *process, wait_status);
    asio::co_spawn(executor_, finish_exec(container, id, process), asio::detached);
  });
  process->set_owner(std::move(owner), [weak = std::weak_ptr(process)] {
    if (const auto alive = weak.lock()) (void)alive->signal(SIGKILL);
  });
  co_return process;
}

asio::awaitable<void> Containers::finish_exec(Shared container, std::string exec_id,
                                              std::shared_ptr<Process> process) {
  co_await process->io().finish();
  process->set_finished();
  if (process->orphaned()) {
    container->execs.erase(exec_id);
    co_return;
  }
  container->finished_execs.push_back(exec_id);
  if (container->finished_execs.size() <= kMaxFinishedExecs) co_return;
  container->execs.erase(container->finished_execs.front());
  container->finished_execs.pop_front();
}

}  // namespace agentvm::guest
