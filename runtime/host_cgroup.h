// The VM's processes in the host cgroup of linux.cgroupsPath: cgroup v1 (every mounted
// hierarchy), v2, or both (hybrid), through cgroupfs or as a scope of systemd.
//
// cgroupsPath (runtime-spec 1.2, config-linux.md "Cgroups Path"):
//   cgroupfs  "/docker/abc"  below each hierarchy's root
//             "abc"          below "/agentvm", the runtime's own parent
//             ""             "/<id>", as runc
//   systemd   "slice:prefix:name"  scope "prefix-name.scope" in that slice;
//             ""                   "system.slice:agentvm:<id>"
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "oci/base/error.h"
#include "runtime/cgroup_record.h"
#include "runtime/host_limits.h"

namespace agentvm::runtime {

struct CgroupRequest {
  std::string container_id;
  std::string cgroups_path;  // of the spec
  CgroupDriver driver = CgroupDriver::cgroupfs;
  HostLimits limits;
  // The first process in it: a systemd scope cannot be without one. 0: the caller. With cgroupfs
  // it is moved in after the limits are written.
  pid_t first = 0;
};

class HostCgroup {
 public:
  // What create() will make, as a record for a creator that may be killed half way: adopt() of it
  // removes whatever part is there. Refuses as create() does where somebody else's processes are.
  [[nodiscard]] static Result<CgroupRecord> plan(const CgroupRequest& request);
  // Makes the cgroup, writes the limits, moves `first` in. On failure nothing that it made is
  // left. failed_precondition: `container's cgroup is not empty: N process(es) found`, or frozen.
  // unavailable when the systemd driver is asked for and systemd does not run.
  [[nodiscard]] static Result<HostCgroup> create(const CgroupRequest& request);
  // What an earlier process made. Directories that are gone by now are fine for every method.
  [[nodiscard]] static HostCgroup adopt(CgroupRecord record);

  [[nodiscard]] const CgroupRecord& record() const { return record_; }
  // What was asked for and has no effect because this host's hierarchies lack it: for the log.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }

  // Moves a process, with its threads and no children, into every hierarchy; 0 is the caller.
  // After a failure it is where it was.
  [[nodiscard]] Result<void> join(pid_t pid) const;
  // All processes, those of cgroups below included, each once.
  [[nodiscard]] Result<std::vector<pid_t>> pids() const;
  // Writes what `limits` sets; returns notes as above.
  [[nodiscard]] Result<std::vector<std::string>> update(const HostLimits& limits) const;

  // SIGKILL to every process (cgroup.kill where there is one) until none is left. The caller must
  // not be inside. unavailable, with the pids, when some still live at the deadline.
  [[nodiscard]] Result<void> kill_all(std::chrono::milliseconds deadline) const;
  // Removes exactly what create() made, cgroups that appeared below it too. Waits for dying
  // processes to leave; failed_precondition when live ones remain. Idempotent.
  [[nodiscard]] Result<void> remove(std::chrono::milliseconds deadline) const;

 private:
  explicit HostCgroup(CgroupRecord record) : record_(std::move(record)) {}
  CgroupRecord record_;
  std::vector<std::string> notes_;
};

}  // namespace agentvm::runtime
