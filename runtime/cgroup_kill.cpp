// HostCgroup::kill_all.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/cgroup_tree.h"
#include "runtime/host_cgroup.h"

namespace agentvm::runtime {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// cgroup.kill (Linux 5.14) reaches everything at once, forks in flight included.
void kill_by_kernel(const CgroupRecord& record) {
  for (const CgroupDir& dir : record.dirs) {
    const std::string directory = directory_of(dir);
    if (dir.v2) static_cast<void>(sys::write_file(directory + "/cgroup.kill", "1"));
    // In a frozen v1 cgroup SIGKILL waits for the thaw.
    if (std::ranges::find(dir.controllers, "freezer") != dir.controllers.end()) {
      static_cast<void>(sys::write_file(directory + "/freezer.state", "THAWED"));
    }
  }
}

Result<std::set<pid_t>> members(const CgroupRecord& record) {
  std::set<pid_t> all;
  for (const CgroupDir& dir : record.dirs) all.merge(TRY(processes_below(directory_of(dir))));
  return all;
}

// By pidfd, opened before the pid is found in the cgroup once more: a pid that was reused in
// between names a process outside, which must not be hit.
Result<std::map<pid_t, UniqueFd>> kill_members(const CgroupRecord& record) {
  std::map<pid_t, UniqueFd> found;
  for (const pid_t pid : TRY(members(record))) {
    auto pidfd = sys::pidfd_open(pid);
    if (pidfd) {
      found.emplace(pid, std::move(*pidfd));
    } else if (pidfd.error().errnum != ESRCH && pidfd.error().errnum != EINVAL) {
      return std::unexpected(std::move(pidfd).error());
    }
  }
  const std::set<pid_t> still = TRY(members(record));
  std::erase_if(found, [&](const auto& entry) { return !still.contains(entry.first); });
  for (const auto& [pid, pidfd] : found) {
    static_cast<void>(sys::pidfd_send_signal(pidfd.get(), SIGKILL));
  }
  return found;
}

// Until all have exited, or the time is over.
void wait_for_exits(const std::map<pid_t, UniqueFd>& found, Clock::time_point end) {
  for (const auto& [pid, pidfd] : found) {
    const auto left = std::chrono::ceil<milliseconds>(end - Clock::now());
    if (left.count() <= 0) return;
    pollfd entry{pidfd.get(), POLLIN, 0};
    static_cast<void>(::poll(&entry, 1, static_cast<int>(left.count())));
  }
}

}  // namespace

Result<void> HostCgroup::kill_all(milliseconds deadline) const {
  const auto end = Clock::now() + deadline;
  const auto first_look = TRY(members(record_), "kill the container's processes");
  if (first_look.empty()) return {};
  if (first_look.contains(::getpid())) {
    return fail(ErrorKind::internal, "kill the container's processes: the caller is one of them");
  }
  kill_by_kernel(record_);
  for (;;) {
    const auto found = TRY(kill_members(record_), "kill the container's processes");
    wait_for_exits(found, end);
    const auto left = TRY(members(record_), "kill the container's processes");
    if (left.empty()) return {};
    if (Clock::now() >= end) {
      return fail(ErrorKind::unavailable,
                  fmt::format("kill the container's processes: still there after {} ms: {}",
                              deadline.count(), fmt::join(left, ", ")));
    }
    // Listed, but past being signalled: nothing tells when the kernel is through with it.
    if (found.empty()) static_cast<void>(::poll(nullptr, 0, 5));
  }
}

}  // namespace agentvm::runtime
