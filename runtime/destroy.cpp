#include "runtime/destroy.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/container/ask_monitor.h"
#include "runtime/egress/bound_network.h"
#include "runtime/host_cgroup.h"
#include "runtime/network/redirect.h"

namespace agentvm::runtime {

namespace {

constexpr std::chrono::milliseconds kDeathDeadline{10000};
// A container leaves its guest within some time-outs of the guest's agent.
constexpr std::chrono::milliseconds kLeaveDeadline{60000};

bool ends_soon(int pidfd) {
  pollfd entry{pidfd, POLLIN, 0};
  return ::poll(&entry, 1, static_cast<int>(kDeathDeadline.count())) > 0;
}

// Ends one of our own processes; its children end with it (PDEATHSIG).
Result<void> kill_and_wait(const ProcessRef& process) {
  if (!is_alive(process)) return {};
  auto pidfd = sys::pidfd_open(process.pid);
  if (!pidfd) return {};
  // The pid may have been reused between the check and the open: check again, on the pidfd's life.
  if (!is_alive(process)) return {};
  TRY(sys::pidfd_send_signal(pidfd->get(), SIGKILL));
  if (!ends_soon(pidfd->get())) {
    return fail(ErrorKind::unavailable, fmt::format("process {} does not die", process.pid));
  }
  return {};
}

void keep_first(Result<void>& first, Result<void> next) {
  if (!next && first) first = std::move(next);
}

// Where the VM waited before a container took it; its processes are the container's by now.
Result<void> destroy_place(const std::string& place) {
  const std::size_t slash = place.rfind('/');
  const auto pool = TRY(StateRoot::open(place.substr(0, slash)));
  auto dir = pool.open_container(place.substr(slash + 1));
  if (!dir && dir.error().kind == ErrorKind::not_found) return {};
  if (!dir) return std::unexpected(std::move(dir).error());
  const auto record = dir->load();
  auto done = record ? destroy(*dir, *record) : std::unexpected(record.error());
  // Whoever fills the pool removes what is left of dead VMs too.
  if (!done && done.error().kind == ErrorKind::not_found) return {};
  return done;
}

// Out of the VM of its pod, if that still runs. Its monitor does it by itself once the stand-in is
// dead; here it is waited for.
Result<void> leave_pod(const StateDir& dir, const Membership& membership) {
  const std::string path = dir.path();
  const auto root = TRY(StateRoot::open(path.substr(0, path.rfind('/'))));
  const auto sandbox = root.open_container(membership.sandbox);
  if (!sandbox || !is_alive(membership.monitor)) return {};
  const auto record = sandbox->load();
  if (!record || record->monitor != membership.monitor) return {};
  const auto process = sys::pidfd_open(membership.monitor.pid);
  if (!process || !is_alive(membership.monitor)) return {};
  auto left = ask_monitor(*sandbox, {MessageType::detach, dir.id(), {}}, kLeaveDeadline);
  // One that does not answer is about to end, as a rule, and its VM with it.
  if (!left && ends_soon(process->get())) return {};
  return left;
}

}  // namespace

Result<void> destroy(StateDir& dir, const ContainerRecord& record) {
  Result<void> outcome = kill_and_wait(record.monitor);
  for (const ExecRecord& exec : record.execs) keep_first(outcome, kill_and_wait(exec.stand_in));
  if (record.membership) keep_first(outcome, leave_pod(dir, *record.membership));
  const HostCgroup cgroup = HostCgroup::adopt(record.cgroup);
  keep_first(outcome, cgroup.kill_all(kDeathDeadline));
  keep_first(outcome, cgroup.remove(kDeathDeadline));
  // A monitor that saw the end of its container has done it.
  if (!record.init_exit) {
    if (record.egress) release_bound_network(*record.egress, record.network_namespace);
    if (!record.network_namespace.empty()) release_namespace(record.network_namespace);
  }
  if (!record.pool_place.empty()) keep_first(outcome, destroy_place(record.pool_place));
  if (record.disk && !record.disk->lasting && ::unlink(record.disk->path.c_str()) != 0 &&
      errno != ENOENT) {
    keep_first(outcome, fail_errno(errno, fmt::format("remove disk '{}'", record.disk->path)));
  }
  if (!outcome) return outcome;  // the record is what a second attempt goes by
  auto lock = TRY(dir.lock(kVerbLockDeadline));
  return dir.remove(lock);
}

}  // namespace agentvm::runtime
