// The child between clone(2) and execve(2): what a container's init and a process that joins it
// have in common. The child may allocate, for the agent has one thread; it never touches the
// agent's event loop, and it leaves by execve(2) or _exit(2) alone.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "guest-agent/launch.h"
#include "guest-agent/launch/agent_link.h"
#include "guest-agent/launch/capabilities.h"
#include "guest-agent/launch/seccomp_load.h"
#include "guest-agent/launch/step.h"
#include "oci/base/error.h"
#include "oci/spec.h"

namespace agentvm::guest {

struct Child {
  // Given.
  const oci::Spec& spec;
  const oci::Process& process;
  const CapabilityMasks& capabilities;
  const oci::SeccompFilter* seccomp;  // none: no filter
  AgentLink link;
  ChildStdio stdio;
  int hook_state = -1;  // the state document of startContainer hooks; -1: no hooks to run
  // Found on the way.
  std::vector<std::string> environment{};
  std::string program{};
  bool in_cwd = false;
};

// Steps of both tables.
// Signals, stdio, session; every descriptor closed but the child's own and `keep`.
[[nodiscard]] Result<void> leave_the_agent(Child& child, std::vector<int> keep);
[[nodiscard]] Result<void> wait_for_agent(Child& child);
// Opens the terminal below `root_fd`, if one is asked for, and sends its master home.
[[nodiscard]] Result<void> set_up_terminal(Child& child, int root_fd, bool console);

// From a process in the container's root to the program: environment, user, capabilities, working
// directory, seccomp; reports `ready`, waits for the agent, runs the hooks, executes. Returns only
// with an error.
[[nodiscard]] Result<void> become_the_program(Child& child);

// Runs `main` and reports what it returns.
template <class Context>
[[noreturn]] void run_child(Context& context, Result<void> (*main)(Context&));

[[noreturn]] void end_child(const AgentLink& link, Result<void> outcome);

template <class Context>
[[noreturn]] void run_child(Context& context, Result<void> (*main)(Context&)) {
  Result<void> outcome;
  try {
    outcome = main(context);
  } catch (...) {
    outcome = fail(ErrorKind::internal, "an exception in the new process");
  }
  end_child(context.link, std::move(outcome));
}

}  // namespace agentvm::guest
