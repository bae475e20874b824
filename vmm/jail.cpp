#include "vmm/jail.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "vmm/jail_plan.h"

namespace agentvm::vmm {

namespace {

constexpr unsigned kLastCapabilityBit = 63;

std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  // execve(2) takes char* for history's sake and changes nothing.
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// The bits of the bounding set that exist and are not wanted.
Result<std::uint64_t> unwanted_capabilities(std::uint64_t wanted) {
  const std::string text = TRY(sys::read_file("/proc/sys/kernel/cap_last_cap", 16));
  const unsigned last =
      std::min<unsigned>(static_cast<unsigned>(std::atoi(text.c_str())), kLastCapabilityBit);
  const std::uint64_t existing =
      last == kLastCapabilityBit ? ~std::uint64_t{0} : (std::uint64_t{1} << (last + 1)) - 1;
  return existing & ~wanted;
}

Result<JailLimitPair> plan_limit(const JailLimit& limit) {
  JailLimitPair pair{limit.resource, {limit.value, limit.value}, {}};
  rlimit now{};
  if (::getrlimit(static_cast<__rlimit_resource>(limit.resource), &now) != 0) {
    return fail_errno(errno, fmt::format("read resource limit {}", limit.resource));
  }
  const rlim_t possible = std::min<rlim_t>(limit.value, now.rlim_max);
  pair.possible = {possible, possible};
  return pair;
}

Result<void> check(const JailSpec& spec) {
  const bool own_mounts = (spec.namespaces & CLONE_NEWNS) != 0;
  if (spec.argv.empty()) return fail(ErrorKind::invalid_argument, "no argv");
  if (spec.root && !own_mounts) {
    return fail(ErrorKind::invalid_argument, "a root of its own needs a mount namespace");
  }
  if (spec.user && spec.user->uid != 0 && spec.user->capabilities != 0) {
    return fail(ErrorKind::invalid_argument, "only root can keep capabilities");
  }
  return {};
}

Result<void> fill(JailPlan& plan) {
  const JailSpec& spec = plan.spec;
  TRY(check(spec));
  plan.argv = pointers_to(spec.argv);
  plan.env = pointers_to(spec.env);
  for (const JailFd& fd : spec.fds) plan.fds.push_back(fd.fd);
  if (spec.root) TRY(plan_root(*spec.root, plan));
  plan.filter = TRY(make_filter(spec.filter));
  for (const JailLimit& limit : spec.limits) {
    const JailLimitPair pair = TRY(plan_limit(limit));
    plan.limits.push_back(pair);
  }
  if (spec.oom_score_adj) plan.oom_score_adj = std::to_string(*spec.oom_score_adj);
  if (spec.user) plan.unwanted_capabilities = TRY(unwanted_capabilities(spec.user->capabilities));
  plan.dev_null = TRY(sys::open_at(AT_FDCWD, "/dev/null", O_RDWR));
  plan.parent = TRY(sys::pidfd_open(::getpid()));
  return {};
}

// As fork(2), into new namespaces, with a pidfd. The child runs on a copy of this stack.
Result<Child> clone_into(std::uint64_t namespaces, JailPlan& plan) {
  int pidfd = -1;
  clone_args args{};
  args.flags = namespaces | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) {
    return fail(ErrorKind::unavailable,
                fmt::format("make a process in namespaces of its own: {} ({})",
                            ::strerrorname_np(errno), ::strerrordesc_np(errno)));
  }
  if (pid == 0) become_jailed(plan);
  return Child(static_cast<pid_t>(pid), UniqueFd(pidfd));
}

}  // namespace

std::uint64_t all_namespaces() {
  return CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
}

uid_t uid_of_part(pid_t monitor, unsigned part) {
  // The kernel's pids stay below 2^22 (PID_MAX_LIMIT).
  constexpr uid_t kFirst = 0x70000000;
  constexpr unsigned kPidBits = 22;
  return kFirst + (part << kPidBits) + static_cast<uid_t>(monitor);
}

Result<JailStart> JailStart::begin(const JailSpec& spec) {
  auto plan = std::make_shared<JailPlan>(spec);
  TRY(fill(*plan), "start {}", spec.name);
  auto [report, write_end] = TRY(sys::pipe(), "start {}", spec.name);
  plan->report = write_end.get();
  auto child = TRY(clone_into(spec.namespaces, *plan), "start {}", spec.name);
  return JailStart(std::move(plan), std::move(child), std::move(report));
}

Task<Child> JailStart::finish() && {
  const std::string& name = plan_->spec.name;
  auto readable = co_await wait_readable(report_.get());
  CO_TRY(std::move(readable), "start {}", name);
  JailFailure failure;
  const ssize_t n = ::read(report_.get(), &failure, sizeof failure);
  if (n == 0) co_return std::move(child_);
  if (n != static_cast<ssize_t>(sizeof failure)) {
    co_return fail(ErrorKind::internal, fmt::format("start {}: lost the child's report", name));
  }
  co_return fail(ErrorKind::unavailable,
                 fmt::format("start {}: {}", name, describe(failure, *plan_)));
}

}  // namespace agentvm::vmm
