// --pid-file and --pidfd-socket: how a caller learns of the stand-in. Written last, when the verb
// has succeeded in all else.
#pragma once

#include <sys/types.h>

#include <string>

#include "oci/base/error.h"

namespace agentvm::runtime::cli {

// Decimal, no newline, written aside and renamed: a reader sees all of it or nothing.
[[nodiscard]] Result<void> write_pid_file(const std::string& path, pid_t pid);

// Sends a pidfd of `pid` to the unix stream socket (one message, one descriptor; runc 1.2).
[[nodiscard]] Result<void> send_pidfd(const std::string& socket_path, pid_t pid);

}  // namespace agentvm::runtime::cli
