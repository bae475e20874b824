// Small work on text that the kernel or a process wrote.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace agentvm {

// The pieces of `text` between any of `separators`, without empty ones; views of `text`.
[[nodiscard]] std::vector<std::string_view> split(std::string_view text,
                                                  std::string_view separators);

// Two lower-case digits a byte.
[[nodiscard]] std::string hexadecimal(std::string_view bytes);

// How a child ended, from waitpid(2)'s status: "was killed by signal 9", "exited with status 1".
[[nodiscard]] std::string describe_wait_status(int status);
// The same as Go's os/exec has it, which is what users of runc know from hooks: "signal: Killed",
// "exit status 1".
[[nodiscard]] std::string go_wait_status(int status);

}  // namespace agentvm
