// The guest's cgroup v2 tree and one container's place in it. The tree below its root directory:
//   agent/            the agent itself, so that no inner cgroup has processes
//   containers/<id>/  one per container, all controllers enabled
// The root is a parameter: /sys/fs/cgroup in a VM, a directory of a test's own on a host.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guest-agent/cgroup_devices.h"
#include "guest-agent/cgroup_writes.h"
#include "oci/base/async.h"
#include "oci/spec.h"

namespace agentvm::guest {

struct CgroupTree {
  std::string containers;      // absolute directory
  std::string hierarchy_path;  // the same as /proc/PID/cgroup has it, "" for the root
  CgroupMachine machine;
  std::shared_ptr<DevicePrograms> device_programs;
};

// Makes agent/ and containers/ below `root` and enables every controller there is for the
// containers. With `move_self` the calling process goes to agent/.
[[nodiscard]] Result<CgroupTree> prepare_cgroup_tree(const std::string& root, bool move_self);

// A directory in the tree. Destruction leaves it: remove() is what ends it.
class Cgroup {
 public:
  // Makes the directory and applies `resources` with runc's default devices. `name` must be new.
  // On failure the directory is gone again.
  static Result<Cgroup> create(const CgroupTree& tree, const std::string& name,
                               const oci::Resources& resources);

  [[nodiscard]] const std::string& path() const { return path_; }

  // Applies `resources` over what applies already (merged_resources()). What was written before a
  // failure stays; the device rules change only when the update has any.
  [[nodiscard]] Result<void> update(const oci::Resources& resources);

  // Every process of this cgroup and those below.
  [[nodiscard]] Result<std::vector<pid_t>> processes() const;
  // Where one more process can go: here, or, when controllers are delegated to inner cgroups (which
  // forbids processes here), the cgroup of `init`, as runc does.
  [[nodiscard]] Result<std::string> place_for_exec(pid_t init) const;
  // Whether `pid` is here or below right now.
  [[nodiscard]] bool contains(pid_t pid) const;

  // cgroup.freeze, until the kernel says that all have stopped or go on. On a time-out of the
  // freeze everything is thawed again.
  [[nodiscard]] Task<void> freeze(std::chrono::milliseconds deadline) const;
  [[nodiscard]] Task<void> thaw(std::chrono::milliseconds deadline) const;
  // SIGKILL to everything inside, forks in flight included (cgroup.kill).
  [[nodiscard]] Result<void> kill() const;
  // Kills, waits until nothing is left, removes the directory and those below.
  [[nodiscard]] Task<void> remove(std::chrono::milliseconds deadline) const;

  // How many processes the OOM killer took, here and below; 0 without the memory controller.
  [[nodiscard]] std::uint64_t oom_kills() const;

 private:
  Cgroup(std::string path, std::string hierarchy_path, const CgroupTree& tree);
  [[nodiscard]] Result<std::string> place_of(pid_t pid) const;
  [[nodiscard]] Result<void> write_limits(const oci::Resources& resources) const;
  [[nodiscard]] Result<void> replace_device_rules(const std::vector<oci::DeviceRule>& rules);

  std::string path_;
  std::string hierarchy_path_;
  CgroupMachine machine_;
  oci::Resources applied_;
  std::shared_ptr<DevicePrograms> device_programs_;
  std::shared_ptr<const UniqueFd> device_program_;  // that is attached
};

// Adds `suffix` ("/inner/deeper") of a request to `cgroup`, making what is missing. Refuses '..'.
[[nodiscard]] Result<std::string> make_inner_cgroup(const std::string& cgroup,
                                                    const std::string& suffix);

}  // namespace agentvm::guest
