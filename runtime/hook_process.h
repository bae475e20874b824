// One hook as a process: started, fed, bounded in time, its output's end kept.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "oci/base/error.h"

namespace agentvm::runtime {

struct HookCommand {
  std::string path;
  std::vector<std::string> args;  // argv[0] included; empty: the path alone
  std::vector<std::string> env;
  int input = -1;              // becomes stdin
  int network_namespace = -1;  // to enter first; -1: stay
  std::optional<std::chrono::milliseconds> timeout;
};

struct HookOutcome {
  int wait_status = 0;     // as waitpid(2) gives it
  bool timed_out = false;  // the process group was killed
  std::string out;         // the last bytes of stdout, control characters replaced
  std::string err;
};

// Blocks until the process itself has ended; descendants that hold its output open are not waited
// for. An error means that it never ran.
[[nodiscard]] Result<HookOutcome> run_hook_process(const HookCommand& command);

}  // namespace agentvm::runtime
