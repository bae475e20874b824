// Looking for bytes where they must not be.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace agentvm::e2e {

// How often `text` occurs in the memory that a process shares with others: all of its guest's, for
// QEMU.
[[nodiscard]] std::size_t count_in_shared_memory(pid_t pid, const std::string& text);

// Files below the directory that hold `text`.
[[nodiscard]] std::vector<std::string> files_with(const std::string& directory,
                                                  const std::string& text);

}  // namespace agentvm::e2e
