// Who runs: for tests that assert that nothing is left.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace agentvm::vmm {

// Its words, each ended by a NUL; empty for a zombie, and for one that ends while it is asked.
inline std::string command_line(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/cmdline");
  std::string words;
  // Unlike an iterator, which throws when the process has gone.
  std::getline(file, words, '\1');
  return words;
}

// Live processes (no zombies) whose command line holds `text`.
inline std::vector<pid_t> processes_with(const std::string& text) {
  std::vector<pid_t> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    if (command_line(name).find(text) != std::string::npos) found.push_back(std::stoi(name));
  }
  return found;
}

inline std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> found;
  const std::string pid = std::to_string(parent);
  std::ifstream file("/proc/" + pid + "/task/" + pid + "/children");
  for (pid_t child = 0; file >> child;) found.push_back(child);
  return found;
}

// A zombie counts as gone.
inline bool is_running(pid_t pid) {
  return !command_line(std::to_string(pid)).empty();
}

}  // namespace agentvm::vmm
