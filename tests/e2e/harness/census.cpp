#include "tests/e2e/harness/census.h"

#include <dirent.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/e2e/harness/bundle.h"
#include "tests/e2e/harness/command.h"

namespace agentvm::e2e {

namespace fs = std::filesystem;

namespace {

bool is_ours(const std::string& name) {
  for (const char* ours : {"agentvm", "containerd-shim", "qemu-system", "virtiofsd"}) {
    if (name.starts_with(ours)) return true;
  }
  return false;
}

void count_processes(Census& census) {
  std::error_code code;
  for (const auto& entry : fs::directory_iterator("/proc", code)) {
    const std::string pid = entry.path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    std::string name = read_file("/proc/" + pid + "/comm");
    if (!name.empty()) name.pop_back();
    // A zombie is its parent's to reap; what it was has gone.
    const std::string stat = read_file("/proc/" + pid + "/stat");
    const std::size_t at = stat.rfind(')');
    const bool zombie = at != std::string::npos && at + 2 < stat.size() && stat[at + 2] == 'Z';
    if (is_ours(name) && !zombie) census.entries.insert("process " + name + " " + pid);
  }
}

void count_mounts(Census& census) {
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) census.entries.insert("mount " + line);
}

void count_directories(Census& census, const char* kind, const std::string& top) {
  std::error_code code;
  for (auto it = fs::recursive_directory_iterator(top, code); it != fs::end(it);
       it.increment(code)) {
    if (code) break;
    if (it->is_directory(code))
      census.entries.insert(std::string(kind) + " " + it->path().string());
  }
}

void count_entries(Census& census, const char* kind, const std::string& directory) {
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(directory, code)) {
    census.entries.insert(std::string(kind) + " " + entry.path().string());
  }
}

}  // namespace

Census take_census() {
  Census census;
  count_processes(census);
  count_mounts(census);
  count_directories(census, "cgroup", "/sys/fs/cgroup");
  count_entries(census, "interface", "/sys/class/net");
  count_entries(census, "shared memory", "/dev/shm");
  count_entries(census, "container", "/run/agentvm");
  count_entries(census, "shim's state", "/run/agentvm-shim");
  count_entries(census, "shim's socket", "/run/containerd/s");
  return census;
}

std::vector<std::string> left_behind(const Census& before) {
  std::vector<std::string> extra;
  (void)eventually(
      [&] {
        extra.clear();
        const Census now = take_census();
        std::ranges::set_difference(now.entries, before.entries, std::back_inserter(extra));
        return extra.empty();
      },
      std::chrono::seconds(5));
  return extra;
}

}  // namespace agentvm::e2e
