// linux.namespaces (config-linux.md, "Namespaces").
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>

#include "guest-agent/launch.h"
#include "oci/base/error.h"
#include "oci/spec.h"

namespace agentvm::guest {

// The CLONE_NEW* that init is cloned with. A mount namespace always; a network namespace never: the
// guest's own is the container's. The cgroup and time namespaces come later (unshare_late()): a
// cgroup namespace starts at the cgroup that its maker is in already, and a time namespace must be
// empty while its offsets are set.
[[nodiscard]] std::uint64_t clone_flags(const oci::Spec& spec);

// In the child: the namespaces of others, but for the pid namespace, which is one's from birth on.
[[nodiscard]] Result<void> join_all(std::span<const JoinedNamespace> joined);
// The pidfd of whose pid namespace is to be joined, -1 without one.
[[nodiscard]] int pid_namespace_of(std::span<const JoinedNamespace> joined);

// In the child: the cgroup namespace, then the time namespace with its offsets, entered at once.
[[nodiscard]] Result<void> unshare_late(const oci::Spec& spec);

// The CLONE_NEW* of those namespaces of `pid` that are not the caller's own; the pid namespace not
// among them. not_found when the process has ended.
[[nodiscard]] Result<std::uint64_t> foreign_namespaces(pid_t pid);
// Enters these of the process, the user namespace first (setns(2) with a pidfd, Linux 5.8).
[[nodiscard]] Result<void> join_namespaces(int pidfd, std::uint64_t flags);

// Whose pid namespace the next child of this process is born in. Destruction takes it back.
class BirthPlace {
 public:
  static Result<BirthPlace> enter(int pidfd);
  BirthPlace(BirthPlace&&) noexcept;
  BirthPlace& operator=(BirthPlace&&) = delete;
  ~BirthPlace();

 private:
  explicit BirthPlace(int own) : own_(own) {}
  int own_;
};

// linux.personality for personality(2).
[[nodiscard]] Result<void> set_personality(const oci::Personality& personality);

}  // namespace agentvm::guest
