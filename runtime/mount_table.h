// /proc/self/mountinfo (proc(5)) of the calling process's mount namespace.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"

namespace agentvm::runtime {

struct MountEntry {
  std::int64_t id = 0;
  std::string mount_point;   // plain, not escaped
  std::string type;          // "ext4"
  bool shared = false;       // mounts below it propagate to its peers
  std::string options = {};  // of the file system, plain: "rw,lowerdir=/a:/b,upperdir=/c"
  friend bool operator==(const MountEntry&, const MountEntry&) = default;
};

// Lines that are not as proc(5) says are passed over. Pure.
[[nodiscard]] std::vector<MountEntry> parse_mount_table(std::string_view mountinfo);
// In the order in which they were mounted.
[[nodiscard]] Result<std::vector<MountEntry>> read_mount_table();

// A path as /proc has it: space, tab, newline and backslash are "\\" and three octal digits.
[[nodiscard]] std::string unescape_mount_path(std::string_view text);

// Whether the mount that `fd` lies on propagates to others.
[[nodiscard]] Result<bool> is_on_shared_mount(int fd);

// Where `fd` is, as the caller's root has it.
[[nodiscard]] Result<std::string> path_of(int fd);

}  // namespace agentvm::runtime
