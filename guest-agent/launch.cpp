#include "guest-agent/launch.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "guest-agent/launch/exec_child.h"
#include "guest-agent/launch/init_child.h"
#include "guest-agent/launch/launched_process.h"
#include "guest-agent/launch/namespaces.h"
#include "guest-agent/launch/refusals.h"
#include "guest-agent/launch/rootfs.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

// What is made for any child before there is one.
struct Preparation {
  CapabilityMasks capabilities;
  std::shared_ptr<const oci::SeccompFilter> seccomp;
  UniqueFd cgroup;
  UniqueFd agent_end;
  UniqueFd child_end;
  UniqueFd hook_state;
};

Result<Preparation> prepare(const oci::Process& process, const std::string& cgroup,
                            std::shared_ptr<const oci::SeccompFilter> seccomp) {
  Preparation made;
  // runc: none given means none.
  made.capabilities = capability_masks(process.capabilities.value_or(oci::Capabilities{}));
  made.seccomp = std::move(seccomp);
  made.cgroup = TRY(sys::open_at(AT_FDCWD, cgroup, O_PATH | O_DIRECTORY), "container's cgroup");
  auto ends = TRY(sys::socket_pair(SOCK_SEQPACKET));
  made.agent_end = std::move(ends.first);
  made.child_end = std::move(ends.second);
  return made;
}

Child make_child(const oci::Spec& spec, const oci::Process& process, Preparation& made,
                 ChildStdio stdio) {
  return Child{spec,
               process,
               made.capabilities,
               made.seccomp.get(),
               AgentLink(std::move(made.child_end)),
               std::move(stdio),
               made.hook_state.get()};
}

Result<Sources> open_for_user_namespace(const InitLaunch& launch,
                                        const std::vector<DeviceNode>& nodes) {
  if (!has_namespace(launch.spec, oci::NamespaceType::user)) return Sources();
  TRY(write_sysctls(launch.spec, SysctlKind::network));
  return open_sources(launch.spec, launch.cgroup, nodes);
}

// A child that is closed to ptrace(2) and /proc of its fellows in the container from its birth on:
// the agent is it for a moment.
class Undumpable {
 public:
  Undumpable() : before_(::prctl(PR_GET_DUMPABLE)) { ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }
  Undumpable(const Undumpable&) = delete;
  Undumpable& operator=(const Undumpable&) = delete;
  ~Undumpable() { ::prctl(PR_SET_DUMPABLE, before_ == 1 ? 1 : 0, 0, 0, 0); }

 private:
  int before_;
};

// A child among the processes of the pid namespace of `fellow`, a pidfd. It does not come back.
template <class Context>
Result<Cloned> clone_among(int fellow, std::uint64_t flags, int cgroup, Context& child,
                           Result<void> (*main)(Context&)) {
  const Undumpable undumpable;
  const BirthPlace birth_place = TRY(BirthPlace::enter(fellow));
  Cloned cloned = TRY(clone_child(flags, cgroup));
  if (cloned.pid == 0) run_child<Context>(child, main);
  return cloned;
}

// The child does not come back from here.
Result<std::unique_ptr<LaunchedProcess>> clone_init(InitLaunch& launch) {
  const oci::Spec& spec = launch.spec;
  TRY(check_container(spec));
  Preparation made = TRY(prepare(*spec.process, launch.cgroup, launch.seccomp));
  if (!spec.hooks.start_container.empty()) {
    made.hook_state.reset(::memfd_create("state", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!made.hook_state) return fail_errno(errno, "memory for the state of hooks");
  }
  const auto nodes = TRY(device_nodes(spec));
  auto sources = TRY(open_for_user_namespace(launch, nodes));
  ChildStdio stdio = std::move(launch.stdio);
  stdio.terminal = spec.process->terminal;
  InitChild child{make_child(spec, *spec.process, made, std::move(stdio)), launch.cgroup,
                  Rootfs{spec, nodes, std::move(sources)}, launch.joined};
  const int fellow = pid_namespace_of(launch.joined);
  const std::uint64_t flags = clone_flags(spec);
  const int cgroup = made.cgroup.get();
  Cloned cloned = TRY(fellow >= 0 ? clone_among<InitChild>(fellow, flags, cgroup, child, run_init)
                                  : clone_child(flags, cgroup));
  if (cloned.pid == 0) run_child<InitChild>(child, run_init);
  auto launched =
      std::make_unique<LaunchedProcess>(std::move(cloned), std::move(made.agent_end),
                                        std::move(made.hook_state), *spec.process, false);
  TRY(launched->begin(spec));
  return launched;
}

Result<std::unique_ptr<LaunchedProcess>> clone_exec(ExecLaunch& launch) {
  oci::Process& process = launch.process;
  TRY(check_process(process));
  if (!process.capabilities && launch.spec.process) {
    process.capabilities = launch.spec.process->capabilities;
  }
  Preparation made = TRY(prepare(process, launch.cgroup, launch.seccomp));
  const UniqueFd init = TRY(sys::pidfd_open(launch.init_pid), "container not running");
  const std::uint64_t namespaces = TRY(foreign_namespaces(launch.init_pid));
  ChildStdio stdio = std::move(launch.stdio);
  stdio.terminal = process.terminal;
  ExecChild child{make_child(launch.spec, process, made, std::move(stdio)), init.get(), namespaces};
  Cloned cloned = TRY(clone_among<ExecChild>(init.get(), 0, made.cgroup.get(), child, run_exec));
  auto launched = std::make_unique<LaunchedProcess>(std::move(cloned), std::move(made.agent_end),
                                                    UniqueFd(), process, true);
  TRY(launched->begin(launch.spec));
  return launched;
}

Task<std::unique_ptr<Launched>> wait_until_ready(std::unique_ptr<LaunchedProcess> launched) {
  auto ready = co_await launched->wait_until_ready();
  CO_TRY(std::move(ready));
  co_return std::unique_ptr<Launched>(std::move(launched));
}

}  // namespace

Task<std::unique_ptr<Launched>> launch_init(InitLaunch launch) {
  if (!launch.spec.linux_) launch.spec.linux_.emplace();
  auto launched = CO_TRY(clone_init(launch));
  co_return co_await wait_until_ready(std::move(launched));
}

Task<std::unique_ptr<Launched>> launch_exec(ExecLaunch launch) {
  if (!launch.spec.linux_) launch.spec.linux_.emplace();
  auto launched = CO_TRY(clone_exec(launch));
  co_return co_await wait_until_ready(std::move(launched));
}

}  // namespace agentvm::guest
