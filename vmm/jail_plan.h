// What the child of JailStart does between fork and exec, prepared to the last byte before the
// fork: the child allocates nothing, locks nothing and logs nothing.
#pragma once

#include <linux/filter.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "oci/base/unique_fd.h"
#include "vmm/jail.h"

namespace agentvm::vmm {

enum class JailStage : std::uint8_t {
  parent_gone,
  signals,
  session,
  gather_fds,
  oom_score,
  cgroup,
  propagation,
  root_tmpfs,
  root_entry,  // index: which step
  pivot,
  seal_root,
  directory,  // index: which fd
  place_fds,
  limit,  // index: which limit
  bounding_set,
  groups,
  gid,
  uid,
  capabilities,
  no_new_privileges,
  death_signal,
  filter,
  execute,
};

// What goes home over the pipe. The end of the pipe without it is success.
struct JailFailure {
  JailStage stage = JailStage::execute;
  std::int32_t index = 0;
  std::int32_t errnum = 0;
};

// One step of building the root; paths are relative to it.
struct RootStep {
  enum class Kind : std::uint8_t { make_directory, make_file, symlink, bind, attach };
  Kind kind = Kind::make_directory;
  std::string path;
  std::string source;     // bind: path; symlink: text
  int tree = -1;          // attach: a detached mount
  std::uint64_t set = 0;  // bind, attach: MOUNT_ATTR_* to set
};

struct JailLimitPair {
  int resource = 0;
  rlimit wanted{};
  rlimit possible{};  // when the first may not be had
};

struct JailPlan {
  explicit JailPlan(JailSpec from) : spec(std::move(from)) {}

  const JailSpec spec;
  std::vector<char*> argv;  // into `spec`, ends with nullptr
  std::vector<char*> env;
  std::vector<int> fds;  // as spec.fds; the child keeps its copies here
  std::vector<RootStep> root;
  std::vector<UniqueFd> trees;
  std::vector<sock_filter> filter;
  std::vector<JailLimitPair> limits;
  std::string oom_score_adj;
  std::uint64_t unwanted_capabilities = 0;  // to drop from the bounding set
  UniqueFd dev_null;
  UniqueFd parent;  // pidfd of the caller
  int report = -1;
};

// The child. Never returns.
[[noreturn]] void become_jailed(JailPlan& plan) noexcept;

// The steps that build `entries`.
[[nodiscard]] Result<void> plan_root(const std::vector<JailEntry>& entries, JailPlan& plan);

// The program of a filter, for seccomp(2).
[[nodiscard]] Result<std::vector<sock_filter>> make_filter(SyscallFilter filter);

// "set its uid to 1879050000: EINVAL (…)": a failure as a sentence.
[[nodiscard]] std::string describe(const JailFailure& failure, const JailPlan& plan);

}  // namespace agentvm::vmm
