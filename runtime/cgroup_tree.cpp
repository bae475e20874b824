#include "runtime/cgroup_tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <vector>

#include "oci/base/rollback.h"
#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxFile = std::size_t{4} << 20;
// Those that HostLimits can set.
constexpr std::array<std::string_view, 5> kUsedControllers{"cpu", "cpuset", "io", "memory", "pids"};

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

// "/a", "/a/b", "/a/b/c" of "/a/b/c".
std::vector<std::string> steps_of(const std::string& path) {
  std::vector<std::string> steps;
  for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    steps.push_back(path.substr(0, at));
  }
  steps.push_back(path);
  return steps;
}

Result<std::string> read_trimmed(const std::string& path) {
  std::string text = TRY(sys::read_file(path, kMaxFile));
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

// cpuset.cpus and cpuset.mems are empty in a new v1 cgroup, and an empty one takes no process.
Result<void> inherit_cpuset(const std::string& parent, const std::string& directory) {
  for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
    const std::string own = TRY(read_trimmed(directory + file));
    if (!own.empty()) continue;
    const std::string parents = TRY(read_trimmed(parent + file));
    TRY(sys::write_file(directory + file, parents));
  }
  return {};
}

// Best effort: a parent that has processes of its own refuses (cgroup-v2.rst, "No Internal Process
// Constraint"). The limits that lack their file then become notes.
void enable_controllers(const std::string& parent) {
  const auto available = read_trimmed(parent + "/cgroup.controllers");
  if (!available) return;
  const std::string padded = " " + *available + " ";
  for (const std::string_view name : kUsedControllers) {
    if (padded.find(fmt::format(" {} ", name)) == std::string::npos) continue;
    static_cast<void>(
        sys::write_file(parent + "/cgroup.subtree_control", fmt::format("+{}", name)));
  }
}

Result<std::vector<std::string>> controllers_of(const std::string& directory) {
  const std::string text = TRY(read_trimmed(directory + "/cgroup.controllers"));
  const auto names = split(text, " ");
  return std::vector<std::string>(names.begin(), names.end());
}

// One attempt. A false without error: another runtime removed a parent meanwhile.
Result<bool> make_steps(const CgroupHierarchy& hierarchy, MadeCgroup& made, Rollback& rollback) {
  std::string parent = hierarchy.mount_point;
  for (const std::string& step : steps_of(made.dir.path)) {
    const std::string directory = hierarchy.mount_point + step;
    const bool leaf = step == made.dir.path;
    if (hierarchy.v2) enable_controllers(parent);
    const bool exists = ::mkdir(directory.c_str(), 0755) != 0;
    if (exists && errno == ENOENT) return false;
    if (exists && errno != EEXIST) {
      return fail_errno(errno, fmt::format("make cgroup '{}'", directory));
    }
    if (!exists) {
      rollback.push([directory] { ::rmdir(directory.c_str()); });
      if (!leaf) made.dir.made_parents.push_back(step);
    }
    if (leaf) made.existed = exists;
    if (contains(hierarchy.controllers, "cpuset") && !hierarchy.v2) {
      TRY(inherit_cpuset(parent, directory), "make cgroup '{}'", directory);
    }
    parent = directory;
  }
  return true;
}

Result<std::vector<std::string>> children_of(const std::string& directory) {
  std::error_code code;
  std::vector<std::string> children;
  std::filesystem::directory_iterator entries(directory, code);
  for (; !code && entries != std::filesystem::directory_iterator(); entries.increment(code)) {
    std::error_code ignored;
    if (entries->is_directory(ignored)) children.push_back(entries->path().string());
  }
  // A cgroup that vanishes while it is listed is what the caller wants anyway.
  if (code && code.value() != ENOENT && code.value() != ENODEV) {
    return fail_errno(code.value(), fmt::format("list cgroup '{}'", directory));
  }
  return children;
}

// `directory` and all below it, parents before their children.
Result<std::vector<std::string>> tree_of(const std::string& directory) {
  std::vector<std::string> tree{directory};
  for (std::size_t i = 0; i < tree.size(); ++i) {
    std::vector<std::string> children = TRY(children_of(tree[i]));
    tree.insert(tree.end(), std::make_move_iterator(children.begin()),
                std::make_move_iterator(children.end()));
  }
  return tree;
}

// Until the cgroup may have become empty: v2 tells by cgroup.events, v1 does not, so a look after a
// moment has to do there. `patience` bounds both.
void wait_for_change(const std::string& directory, std::chrono::milliseconds patience) {
  const auto events = sys::open_at(AT_FDCWD, directory + "/cgroup.events", O_RDONLY);
  pollfd entry{events ? events->get() : -1, POLLPRI, 0};
  if (events) {
    const auto text = sys::read_all(events->get(), 4096);  // arms the notification
    if (text && text->find("populated 0") != std::string::npos) return;
  }
  constexpr std::chrono::milliseconds kLookAgain{10};
  static_cast<void>(::poll(&entry, 1, static_cast<int>(std::min(patience, kLookAgain).count())));
}

Result<void> remove_directory(const std::string& directory, Clock::time_point end) {
  for (;;) {
    if (::rmdir(directory.c_str()) == 0 || errno == ENOENT) return {};
    if (errno != EBUSY) return fail_errno(errno, fmt::format("remove cgroup '{}'", directory));
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
    if (left.count() <= 0) {
      const auto pids = TRY(processes_below(directory));
      return fail(ErrorKind::failed_precondition,
                  fmt::format("cgroup '{}' is still in use: {} process(es): {}", directory,
                              pids.size(), fmt::join(pids, ", ")));
    }
    wait_for_change(directory, left);
  }
}

}  // namespace

std::string directory_of(const CgroupDir& dir) {
  return dir.hierarchy + dir.path;
}

CgroupDir plan_cgroup(const CgroupHierarchy& hierarchy, const std::string& path) {
  CgroupDir dir{.hierarchy = hierarchy.mount_point,
                .path = path,
                .v2 = hierarchy.v2,
                .controllers = hierarchy.controllers,
                .made_parents = {}};
  for (const std::string& step : steps_of(path)) {
    if (step != path && ::access((hierarchy.mount_point + step).c_str(), F_OK) != 0) {
      dir.made_parents.push_back(step);
    }
  }
  return dir;
}

Result<MadeCgroup> make_cgroup(const CgroupHierarchy& hierarchy, const std::string& path) {
  MadeCgroup made;
  made.dir = plan_cgroup(hierarchy, path);
  made.dir.made_parents.clear();
  Rollback rollback;
  constexpr int kAttempts = 16;
  bool done = false;
  for (int attempt = 0; attempt < kAttempts && !done; ++attempt) {
    done = TRY(make_steps(hierarchy, made, rollback));
  }
  if (!done) {
    return fail(ErrorKind::unavailable,
                fmt::format("make cgroup '{}': something else removes it each time",
                            directory_of(made.dir)));
  }
  if (hierarchy.v2) {
    made.dir.controllers = TRY(controllers_of(directory_of(made.dir)));
  }
  rollback.release();
  return made;
}

Result<std::set<pid_t>> processes_below(const std::string& directory) {
  std::set<pid_t> pids;
  for (const std::string& each : TRY(tree_of(directory))) {
    const auto text = sys::read_file(each + "/cgroup.procs", kMaxFile);
    // ENODEV: removed after it was opened. EOPNOTSUPP: a threaded cgroup; its domain lists them.
    if (!text && (text.error().errnum == ENOENT || text.error().errnum == ENODEV ||
                  text.error().errnum == EOPNOTSUPP)) {
      continue;
    }
    if (!text) return std::unexpected(text.error());
    const char* at = text->data();
    const char* const end = at + text->size();
    while (at < end) {
      pid_t pid = 0;
      const auto [rest, code] = std::from_chars(at, end, pid);
      // 0 is a process of another pid namespace, which has no name here.
      if (code == std::errc() && pid > 0) pids.insert(pid);
      at = std::find(rest, end, '\n');
      if (at < end) ++at;
    }
  }
  return pids;
}

Result<void> remove_cgroup(const CgroupDir& dir, std::chrono::milliseconds deadline) {
  const auto end = Clock::now() + deadline;
  std::vector<std::string> tree = TRY(tree_of(directory_of(dir)));
  for (auto each = tree.rbegin(); each != tree.rend(); ++each) {
    TRY(remove_directory(*each, end));
  }
  for (auto parent = dir.made_parents.rbegin(); parent != dir.made_parents.rend(); ++parent) {
    const std::string directory = dir.hierarchy + *parent;
    if (::rmdir(directory.c_str()) == 0 || errno == ENOENT) continue;
    if (errno == EBUSY || errno == ENOTEMPTY) break;  // somebody else uses it by now
    return fail_errno(errno, fmt::format("remove cgroup '{}'", directory));
  }
  return {};
}

}  // namespace agentvm::runtime
