// Running a program for what it prints.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"

namespace agentvm::sandbox {

struct ProgramResult {
  int status = 0;  // of waitpid(2)
  std::string output;
};

// `argv[0]` is searched in PATH. `input` is its standard input; standard error is ours, or nothing
// with `quiet`. Killed and unavailable when it prints more than 64 KiB or takes longer.
[[nodiscard]] Result<ProgramResult> run_program(
    const std::vector<std::string>& argv, std::string_view input, bool quiet = true,
    std::chrono::milliseconds patience = std::chrono::seconds(30));

// The same with our own standard streams, for as long as it takes; its exit status, or 128 and the
// signal. `input` and `output`: descriptors in place of ours; -1: ours.
[[nodiscard]] Result<int> run_in_foreground(const std::vector<std::string>& argv, int input = -1,
                                            int output = -1);

}  // namespace agentvm::sandbox
