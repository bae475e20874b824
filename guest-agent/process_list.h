// What the guest's /proc says of a container's processes (proc(5)).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"

namespace agentvm::guest {

struct ProcessEntry {
  pid_t pid = 0;
  pid_t ppid = 0;
  std::uint32_t uid = 0;  // real
  std::uint64_t start_time_ms = 0;
  std::uint64_t cpu_time_ms = 0;
  std::string tty;                    // "pts/0", "?" without one
  std::string command;                // arguments joined by blanks, "[comm]" when there are none
  std::vector<pid_t> namespace_pids;  // outermost (ours) first
};

// The parts of /proc/PID that an entry is made of, pure. `ticks_per_s` is sysconf(_SC_CLK_TCK).
// The texts come from a hostile process: names hold any byte.
[[nodiscard]] Result<ProcessEntry> parse_process(std::string_view stat, std::string_view status,
                                                 std::string_view command_line,
                                                 std::uint64_t ticks_per_s);

// The entries of those `pids` that still live.
[[nodiscard]] std::vector<ProcessEntry> read_processes(std::span<const pid_t> pids);

}  // namespace agentvm::guest
