// A JailFailure as a sentence: which step, of what, and what the user can do about it.
#include <fmt/format.h>
#include <string.h>

#include <cerrno>

#include "vmm/jail_plan.h"

namespace agentvm::vmm {

namespace {

constexpr std::string_view kSwitch =
    "; security.jail = \"off-i-accept-unconfined-qemu\" would run it unconfined";

std::string what(const JailFailure& failure, const JailSpec& spec) {
  const auto index = static_cast<std::size_t>(failure.index);
  switch (failure.stage) {
    case JailStage::parent_gone:
      return "its parent died";
    case JailStage::signals:
      return "reset its signal mask";
    case JailStage::session:
      return "make it a session leader";
    case JailStage::gather_fds:
      return "duplicate its file descriptors";
    case JailStage::oom_score:
      return "set its oom_score_adj";
    case JailStage::cgroup:
      return "join its cgroup";
    case JailStage::propagation:
      return "cut its mounts off from the host's";
    case JailStage::root_tmpfs:
      return "mount a tmpfs for its root";
    case JailStage::root_entry:
      return "build its root";
    case JailStage::pivot:
      return "pivot into its root";
    case JailStage::seal_root:
      return "make its root read-only";
    case JailStage::directory:
      return fmt::format("open '{}' in its root", spec.fds.at(index).directory);
    case JailStage::place_fds:
      return "put its file descriptors in place";
    case JailStage::limit:
      return fmt::format("set its resource limit {} to {}", spec.limits.at(index).resource,
                         spec.limits.at(index).value);
    case JailStage::bounding_set:
      return fmt::format("drop capability {} from its bounding set", failure.index);
    case JailStage::groups:
      return "set its supplementary groups";
    case JailStage::gid:
      return fmt::format("set its gid to {}", spec.user ? spec.user->gid : 0);
    case JailStage::uid:
      return fmt::format("set its uid to {}", spec.user ? spec.user->uid : 0);
    case JailStage::capabilities:
      return "set its capabilities";
    case JailStage::no_new_privileges:
      return "set no_new_privs";
    case JailStage::death_signal:
      return "set its parent death signal";
    case JailStage::filter:
      return "install its system call filter";
    case JailStage::execute:
      return fmt::format("execute '{}'", spec.program);
  }
  return "prepare it";
}

// The failures that a host's configuration causes rather than a mistake of ours.
std::string_view advice(const JailFailure& failure) {
  switch (failure.stage) {
    case JailStage::groups:
    case JailStage::gid:
    case JailStage::uid:
      if (failure.errnum == EINVAL) {
        return " (this user namespace does not map that id: run agentvm as the host's root)";
      }
      return "";
    case JailStage::root_entry:
      if (failure.errnum == ENOSYS) return " (needs Linux 5.12)";
      return "";
    case JailStage::parent_gone:
    case JailStage::signals:
    case JailStage::session:
    case JailStage::gather_fds:
    case JailStage::oom_score:
    case JailStage::cgroup:
    case JailStage::propagation:
    case JailStage::root_tmpfs:
    case JailStage::pivot:
    case JailStage::seal_root:
    case JailStage::directory:
    case JailStage::place_fds:
    case JailStage::limit:
    case JailStage::bounding_set:
    case JailStage::capabilities:
    case JailStage::no_new_privileges:
    case JailStage::death_signal:
    case JailStage::filter:
    case JailStage::execute:
      return "";
  }
  return "";
}

}  // namespace

std::string describe(const JailFailure& failure, const JailPlan& plan) {
  std::string done = what(failure, plan.spec);
  if (failure.stage == JailStage::root_entry) {
    const auto index = static_cast<std::size_t>(failure.index);
    if (index < plan.root.size()) done += fmt::format(": '{}'", plan.root[index].path);
  }
  const char* name = ::strerrorname_np(failure.errnum);
  std::string sentence =
      fmt::format("{}: {}{}", done, name != nullptr ? name : "unknown error", advice(failure));
  if (failure.stage != JailStage::execute) sentence += kSwitch;
  return sentence;
}

}  // namespace agentvm::vmm
