#include "runtime/container/remove.h"

#include <poll.h>

#include <csignal>

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/container/state_document.h"
#include "runtime/hooks.h"
#include "runtime/host_cgroup.h"

namespace agentvm::runtime {

namespace {

constexpr std::chrono::milliseconds kDeathDeadline{10000};

// Ends one of our own processes; its children end with it (PDEATHSIG).
Result<void> kill_and_wait(const ProcessRef& process) {
  if (!is_alive(process)) return {};
  auto pidfd = sys::pidfd_open(process.pid);
  if (!pidfd) return {};
  // The pid may have been reused between the check and the open: check again, on the pidfd's life.
  if (!is_alive(process)) return {};
  TRY(sys::pidfd_send_signal(pidfd->get(), SIGKILL));
  pollfd entry{pidfd->get(), POLLIN, 0};
  if (::poll(&entry, 1, static_cast<int>(kDeathDeadline.count())) <= 0) {
    return fail(ErrorKind::unavailable, fmt::format("process {} does not die", process.pid));
  }
  return {};
}

void keep_first(Result<void>& first, Result<void> next) {
  if (!next && first) first = std::move(next);
}

}  // namespace

Result<void> destroy(StateDir& dir, const ContainerRecord& record) {
  Result<void> outcome = kill_and_wait(record.monitor);
  for (const ExecRecord& exec : record.execs) keep_first(outcome, kill_and_wait(exec.stand_in));
  const HostCgroup cgroup = HostCgroup::adopt(record.cgroup);
  keep_first(outcome, cgroup.kill_all(kDeathDeadline));
  keep_first(outcome, cgroup.remove(kDeathDeadline));
  if (!outcome) return outcome;  // the record is what a second attempt goes by
  auto lock = TRY(dir.lock(kVerbLockDeadline));
  return dir.remove(lock);
}

Result<void> remove_container(const Engine& engine, const std::string& id, bool force) {
  auto opened = open_container(engine, id);
  if (!opened) {
    if (force && opened.error().kind == ErrorKind::not_found) return {};
    return std::unexpected(std::move(opened).error());
  }
  auto& [dir, record] = *opened;
  const Status status = effective_status(record);
  if (!force && status != Status::created) TRY(allow(status, oci::Event::remove, id));
  TRY(destroy(dir, record), "delete container '{}'", id);
  if (!record.poststop_hooks.empty()) {
    record.status = Status::stopped;
    const HookContext context{state_document(record)};
    for (const Error& error : run_every_hook(HookKind::poststop, record.poststop_hooks, context)) {
      log::warning("{}", error.text());
    }
  }
  return {};
}

}  // namespace agentvm::runtime
