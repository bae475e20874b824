// Containers: what is done to a container that exists.
#include <fmt/format.h>
#include <sys/types.h>

#include <csignal>
#include <limits>
#include <set>
#include <utility>

#include "guest-agent/cgroup_stats.h"
#include "guest-agent/containers.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "oci/spec_parser.h"

namespace agentvm::guest {

namespace {

constexpr std::chrono::milliseconds kFreezePatience{10000};
constexpr std::uint32_t kMaxSignal = 64;
// New processes may appear while the others are signalled; a fork bomb must not keep us here.
constexpr int kSignalRounds = 8;

asio::awaitable<void> end_with(std::shared_ptr<OomWatch> watch, std::shared_ptr<Process> init) {
  co_await init->wait_finished();
  watch->end();
}

}  // namespace

Containers::Containers(const asio::any_io_executor& executor, Reaper& reaper, StreamTable& streams,
                       CgroupTree cgroups)
    : executor_(executor),
      reaper_(reaper),
      streams_(streams),
      storages_(reaper),
      cgroups_(std::move(cgroups)) {}

Result<Containers::Shared> Containers::find(const std::string& id) const {
  const auto found = containers_.find(id);
  if (found != containers_.end()) return found->second;
  return fail(ErrorKind::not_found, "container does not exist");
}

Result<std::shared_ptr<Process>> Containers::find_process(const std::string& id,
                                                          const std::string& exec_id) const {
  const Shared container = TRY(find(id));
  if (exec_id.empty()) {
    if (container->init) return container->init;
    return fail(ErrorKind::failed_precondition, "the container is being created");
  }
  const auto found = container->execs.find(exec_id);
  if (found != container->execs.end() && found->second) return found->second;
  return fail(ErrorKind::not_found, "no such process");
}

Task<ExitStatus> Containers::wait(std::string id, std::string exec_id) {
  const auto process = CO_TRY(find_process(id, exec_id));
  co_await process->wait_finished();
  co_return process->status();
}

Task<std::uint64_t> Containers::wait_oom(std::string id, std::uint64_t seen) {
  const Shared container = CO_TRY(find(id));
  if (!container->cgroup || !container->init) {
    co_return fail(ErrorKind::failed_precondition, "the container is being created");
  }
  if (!container->oom_watch) {
    container->oom_watch = CO_TRY(OomWatch::open(executor_, container->cgroup->path()));
    asio::co_spawn(executor_, end_with(container->oom_watch, container->init), asio::detached);
  }
  const auto watch = container->oom_watch;
  std::uint64_t kills = container->cgroup->oom_kills();
  for (bool more = true; kills <= seen && more; kills = container->cgroup->oom_kills()) {
    more = co_await watch->wait_change();
  }
  co_return kills;
}

Result<void> Containers::signal(const std::string& id, const std::string& exec_id,
                                std::uint32_t signal, bool all) {
  if (signal > kMaxSignal) {
    return fail(ErrorKind::invalid_argument, fmt::format("signal {} does not exist", signal));
  }
  if (all) {
    const Shared container = TRY(find(id));
    if (!container->cgroup) {
      return fail(ErrorKind::failed_precondition, "the container is being created");
    }
    return signal_all(*container, static_cast<int>(signal));
  }
  const auto process = TRY(find_process(id, exec_id));
  if (exec_id.empty() && process->has_exited()) {
    return fail(ErrorKind::not_found, "container not running");
  }
  return process->signal(static_cast<int>(signal));
}

Result<void> Containers::signal_all(const Container& container, int signal) const {
  if (signal == SIGKILL) return container.cgroup->kill();
  std::set<pid_t> signalled;
  for (int round = 0; round < kSignalRounds; ++round) {
    bool any_new = false;
    for (const pid_t pid : TRY(container.cgroup->processes())) {
      if (!signalled.insert(pid).second) continue;
      any_new = true;
      const auto pidfd = sys::pidfd_open(pid);
      // Looked up again behind the pidfd: pids come around.
      if (!pidfd || !container.cgroup->contains(pid)) continue;
      // One that ended meanwhile needs no signal.
      (void)sys::pidfd_send_signal(pidfd->get(), signal);
    }
    if (!any_new) break;
  }
  if (signalled.empty()) return fail(ErrorKind::not_found, "container not running");
  return {};
}

Result<void> Containers::resize(const std::string& id, const std::string& exec_id,
                                std::uint32_t rows, std::uint32_t columns) {
  constexpr std::uint32_t kMost = std::numeric_limits<std::uint16_t>::max();
  if (rows > kMost || columns > kMost) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("a terminal of {} by {} does not exist", rows, columns));
  }
  const auto process = TRY(find_process(id, exec_id));
  return process->io().resize(static_cast<std::uint16_t>(rows),
                              static_cast<std::uint16_t>(columns));
}

Result<std::vector<ProcessEntry>> Containers::list(const std::string& id) const {
  const Shared container = TRY(find(id));
  if (!container->cgroup || !container->init) return std::vector<ProcessEntry>();
  auto entries = read_processes(TRY(container->cgroup->processes()));
  // How deep the container's own pid namespace is, as its init shows; those inside may be deeper.
  std::size_t depth = 1;
  for (const ProcessEntry& entry : entries) {
    if (entry.pid == container->init->pid()) depth = entry.namespace_pids.size();
  }
  for (ProcessEntry& entry : entries) {
    if (entry.namespace_pids.size() > depth) entry.namespace_pids.resize(depth);
  }
  return entries;
}

Task<void> Containers::pause(std::string id) {
  const Shared container = CO_TRY(find(id));
  CO_TRY(container->take(ContainerEvent::pause));
  auto frozen = co_await container->cgroup->freeze(kFreezePatience);
  if (!frozen && container->status == ContainerStatus::paused) {
    CO_TRY(container->take(ContainerEvent::resume));
  }
  co_return frozen;
}

Task<void> Containers::resume(std::string id) {
  const Shared container = CO_TRY(find(id));
  CO_TRY(next_status(container->status, ContainerEvent::resume));
  auto thawed = co_await container->cgroup->thaw(kFreezePatience);
  CO_TRY(std::move(thawed));
  if (container->status == ContainerStatus::paused) CO_TRY(container->take(ContainerEvent::resume));
  co_return Result<void>();
}

Result<void> Containers::update(const std::string& id, const std::string& resources_json) {
  const Shared container = TRY(find(id));
  TRY(next_status(container->status, ContainerEvent::update));
  return container->cgroup->update(TRY(oci::parse_resources(resources_json)));
}

Result<agent::v1::ContainerStatsResponse> Containers::stats(const std::string& id) const {
  const Shared container = TRY(find(id));
  if (!container->cgroup) {
    return fail(ErrorKind::failed_precondition, "the container is being created");
  }
  return read_cgroup_stats(container->cgroup->path(), cgroups_.machine.huge_page_sizes);
}

}  // namespace agentvm::guest
