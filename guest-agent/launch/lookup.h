// Which file a program's name stands for, in the calling process's root and with its rights: Go's
// exec.LookPath, whose answers and errors runc passes on and Docker matches.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"

namespace agentvm::guest {

// `exec: "nope": executable file not found in $PATH`, `exec: "/nope": stat /nope: no such file or
// directory`, `exec: "/etc": permission denied`.
[[nodiscard]] Result<std::string> find_program(const std::string& name, std::string_view path);

// Go's %q of a string of printable text: in double quotes, those and backslashes escaped, control
// characters as \xNN.
[[nodiscard]] std::string quoted(std::string_view text);
// strerror(3) in Go's words, which are the same but for the capital.
[[nodiscard]] std::string reason_of(int errnum);

}  // namespace agentvm::guest
