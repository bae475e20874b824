// The device cgroup of a container: the OCI rules and runc's default list as a BPF program of type
// BPF_PROG_TYPE_CGROUP_DEVICE. What a program decides is pure and testable; attaching it is apart.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"
#include "oci/spec.h"

namespace agentvm::guest {

// The devices rules as the v1 kernel would hold them after all were written, in order, to
// devices.allow and devices.deny: a default and exceptions to it. "a" resets to one default;
// a rule that agrees with the default takes the same exception back.
struct DevicePolicy {
  enum class Type : std::uint8_t { block, character };
  static constexpr std::int64_t kAny = -1;
  struct Which {
    Type type = Type::character;
    std::int64_t major = kAny;
    std::int64_t minor = kAny;
    friend auto operator<=>(const Which&, const Which&) = default;
  };

  bool default_allow = false;
  std::map<Which, std::uint32_t> exceptions;  // BPF_DEVCG_ACC_* bits
  friend bool operator==(const DevicePolicy&, const DevicePolicy&) = default;
};

// The policy of a container: `rules` in order, then what runc always allows (mknod of anything;
// null, zero, full, random, urandom, tty, ptmx and the ptys). At most 4096 rules. invalid_argument
// for a malformed rule, and, as in runc, for one that would punch a hole into an existing wildcard
// exception, which v1 would have ignored in silence.
[[nodiscard]] Result<DevicePolicy> device_policy(std::span<const oci::DeviceRule> rules);

// The program for `policy`. It returns 1 to allow. An exception that allows must cover every access
// that is asked for; one that denies needs only one of them (as v1; runc's v2 filter lets an
// O_RDWR open past a rule that denies "w").
[[nodiscard]] std::vector<bpf_insn> device_program(const DevicePolicy& policy);

// Loads `program` into the kernel (bpf(2)). The error holds the verifier's last words.
[[nodiscard]] Result<UniqueFd> load_device_program(std::span<const bpf_insn> program);

// Programs that were loaded lately, by what they say: the kernel's verifier takes longer than most
// of a container's start, and most containers have the default rules.
class DevicePrograms {
 public:
  // With the program of a container without rules of its own, if the kernel takes it.
  DevicePrograms();
  // As load_device_program(), or the one that says the same.
  [[nodiscard]] Result<std::shared_ptr<const UniqueFd>> load(std::vector<bpf_insn> program);

 private:
  struct Loaded {
    std::vector<bpf_insn> program;
    std::shared_ptr<const UniqueFd> fd;
  };
  std::deque<Loaded> loaded_;  // the oldest first
};

// Attaches `program` to the cgroup so that programs of cgroups below are asked as well, in place
// of `replaced` when that is given (a program attached before, by the same call).
[[nodiscard]] Result<void> attach_device_program(int cgroup_fd, int program,
                                                 std::optional<int> replaced);

}  // namespace agentvm::guest
