// Starting processes in the guest: a container's init with its namespaces and root, and further
// processes in a container that exists. The child does its set-up up to the last step before
// execve(2), reports, and waits for start(). What it reports is {stage, errno, text}; Docker maps
// some texts, so they are runc's (`exec: "/nope": stat /nope: no such file or directory`).
//
// The caller reaps: every pid named here is a child of the agent and turns up in its waitpid(-1)
// loop, also when a launch failed. The launch code never waits for a child.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"
#include "oci/seccomp_filter.h"
#include "oci/spec.h"

namespace agentvm::guest {

// What becomes fd 0, 1 and 2. With `terminal` the three are ignored: the child opens a pty in the
// container's own devpts instance and the launch returns its master.
struct ChildStdio {
  UniqueFd in;
  UniqueFd out;
  UniqueFd err;
  // Of an exec without a terminal: becomes fd 3, announced as sd_listen_fds(3) says.
  UniqueFd listener = {};
  bool terminal = false;
};

// A namespace of another container's init that a container has in place of one of its own.
struct JoinedNamespace {
  oci::NamespaceType type = oci::NamespaceType::ipc;  // ipc, uts, pid
  UniqueFd process;                                   // a pidfd
};

struct InitLaunch {
  std::string id;
  oci::Spec spec;      // root.path and the sources of binds are paths in the guest
  std::string cgroup;  // absolute directory on the guest's cgroup2; exists, limits applied
  std::shared_ptr<const oci::SeccompFilter> seccomp;  // spec's linux.seccomp is not looked at
  ChildStdio stdio;
  std::vector<JoinedNamespace> joined;  // the spec has none of these types, and no user namespace
};

struct ExecLaunch {
  pid_t init_pid = 0;  // of the container to join, as the agent sees it
  oci::Spec spec;      // the container's: personality, masked paths do not repeat
  oci::Process process;
  std::string cgroup;
  std::shared_ptr<const oci::SeccompFilter> seccomp;  // the container's
  ChildStdio stdio;
};

// A process that stands right before execve(2). Destruction without start() kills it.
class Launched {
 public:
  virtual ~Launched() = default;
  [[nodiscard]] virtual pid_t pid() const = 0;
  // The pty's master when `terminal` was asked for; taken once.
  [[nodiscard]] virtual UniqueFd take_terminal() = 0;
  // Lets it go. init: runs the startContainer hooks with `state_json` on their stdin first, in the
  // container. Ends when execve(2) has succeeded, or with the child's error.
  virtual Task<void> start(std::string state_json) = 0;
};

// On failure nothing is left but a dead child for the reaper.
[[nodiscard]] Task<std::unique_ptr<Launched>> launch_init(InitLaunch launch);
[[nodiscard]] Task<std::unique_ptr<Launched>> launch_exec(ExecLaunch launch);

}  // namespace agentvm::guest
