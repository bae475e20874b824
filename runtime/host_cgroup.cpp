#include "runtime/host_cgroup.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <set>

#include "oci/base/rollback.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/cgroup_layout.h"
#include "runtime/cgroup_tree.h"
#include "runtime/cgroup_writes.h"
#include "runtime/systemd_scope.h"

namespace agentvm::runtime {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kSystemdDeadline{30'000};
// What create() made holds no process but `first`, which moves out with the rollback at the latest.
constexpr milliseconds kRollbackDeadline{2'000};

// runc's words. What is in it would share limits with the VM and be killed along with it.
Result<void> check_free(const CgroupDir& dir) {
  const std::string directory = directory_of(dir);
  const auto pids = TRY(processes_below(directory));
  if (!pids.empty()) {
    return fail(ErrorKind::failed_precondition,
                fmt::format("container's cgroup is not empty: {} process(es) found in '{}'",
                            pids.size(), directory));
  }
  const auto frozen =
      sys::read_file(directory + (dir.v2 ? "/cgroup.freeze" : "/freezer.state"), 64);
  if (frozen && (frozen->starts_with("1") || frozen->starts_with("F"))) {
    return fail(ErrorKind::failed_precondition,
                fmt::format("container's cgroup unexpectedly frozen: '{}'", directory));
  }
  return {};
}

// The choice whose file is there; nullptr when none is.
const CgroupWrite::Choice* choose(const CgroupWrite& write, const std::string& directory) {
  for (const CgroupWrite::Choice& choice : write.choices) {
    if (::access((directory + "/" + choice.file).c_str(), F_OK) == 0) return &choice;
  }
  return nullptr;
}

std::string note_missing(const CgroupWrite& write) {
  return fmt::format("{} has no effect on the host: its cgroups have no {}", write.limit,
                     write.choices.front().file);
}

// Writes what this directory is to hold; what it lacks becomes notes.
Result<void> write_limits(const CgroupDir& dir, const std::vector<CgroupWrite>& writes,
                          std::vector<std::string>& notes) {
  const std::string directory = directory_of(dir);
  for (const CgroupWrite& write : writes) {
    if (std::ranges::find(dir.controllers, write.controller) == dir.controllers.end()) continue;
    const CgroupWrite::Choice* choice = choose(write, directory);
    if (choice == nullptr) {
      notes.push_back(note_missing(write));
      continue;
    }
    TRY(sys::write_file(directory + "/" + choice->file, choice->value), "limit the VM's {}",
        write.limit);
  }
  return {};
}

// cpu.max holds quota and period together: an update of the period alone keeps the quota.
HostLimits with_present_quota(HostLimits limits, const std::string& directory) {
  if (!limits.cpu_period_us || limits.cpu_quota_us) return limits;
  const auto text = sys::read_file(directory + "/cpu.max", 128);
  if (text && !text->starts_with("max")) limits.cpu_quota_us = std::atoll(text->c_str());
  return limits;
}

Result<std::vector<std::string>> apply_limits(const std::vector<CgroupDir>& dirs,
                                              const HostLimits& limits) {
  std::vector<std::string> notes;
  std::set<std::string> controllers;  // in v1's names
  for (const CgroupDir& dir : dirs) {
    for (const std::string& name : dir.controllers) {
      controllers.insert(dir.v2 && name == "io" ? "blkio" : name);
    }
    TRY(write_limits(dir,
                     dir.v2 ? plan_writes_v2(with_present_quota(limits, directory_of(dir)))
                            : plan_writes_v1(limits),
                     notes));
  }
  for (const CgroupWrite& write : plan_writes_v1(limits)) {
    if (controllers.contains(write.controller)) continue;
    notes.push_back(fmt::format("{} has no effect on the host: its cgroups have no {} controller",
                                write.limit, write.controller));
  }
  return notes;
}

// Which of the two systemd itself keeps its units in.
bool systemd_is_v2(const std::vector<CgroupHierarchy>& hierarchies) {
  return std::ranges::any_of(hierarchies, [](const CgroupHierarchy& hierarchy) {
    return hierarchy.v2 &&
           std::ranges::find(hierarchy.controllers, "memory") != hierarchy.controllers.end();
  });
}

bool keeps_units(const std::vector<CgroupDir>& dirs) {
  return std::ranges::any_of(dirs, [](const CgroupDir& dir) {
    return dir.v2 && std::ranges::find(dir.controllers, "memory") != dir.controllers.end();
  });
}

Result<std::string> start_unit(const CgroupRequest& request, CgroupRecord& record,
                               const std::vector<CgroupHierarchy>& hierarchies) {
  const SystemdPath path = TRY(resolve_systemd_path(request.cgroups_path, request.container_id));
  TRY(start_scope({.unit = path.unit,
                   .slice = path.slice,
                   .description = "agentvm container " + request.container_id,
                   .first = request.first == 0 ? ::getpid() : request.first,
                   .limits = request.limits,
                   .v2 = systemd_is_v2(hierarchies)},
                  kSystemdDeadline));
  record.unit = path.unit;
  return path.path;
}

// Where a process is in this hierarchy now, as a path below its mount point: "4:memory:/x".
Result<std::string> present_path(pid_t pid, const CgroupDir& dir) {
  const std::string who = pid == 0 ? "self" : fmt::format("{}", pid);
  const std::string text = TRY(sys::read_file(fmt::format("/proc/{}/cgroup", who), 65'536));
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool here = dir.v2 ? names == ",,"
                             : names.find("," + dir.controllers.front() + ",") != std::string::npos;
    if (here) return line.substr(second + 1);
  }
  return fail(ErrorKind::internal,
              fmt::format("process {} is in no cgroup of '{}'", who, dir.hierarchy));
}

// Moves `pid` into every directory; after a failure it is where it was.
Result<void> join_all(const std::vector<CgroupDir>& dirs, pid_t pid) {
  Rollback rollback;
  const std::string name = fmt::format("{}", pid);
  for (const CgroupDir& dir : dirs) {
    const std::string back = dir.hierarchy + TRY(present_path(pid, dir)) + "/cgroup.procs";
    TRY(sys::write_file(directory_of(dir) + "/cgroup.procs", name),
        "put process {} into the container's cgroup", pid == 0 ? ::getpid() : pid);
    rollback.push([back, name] { static_cast<void>(sys::write_file(back, name)); });
  }
  rollback.release();
  return {};
}

}  // namespace

Result<CgroupRecord> HostCgroup::plan(const CgroupRequest& request) {
  CgroupRecord record{.driver = request.driver, .unit = "", .dirs = {}};
  std::string path;
  if (request.driver == CgroupDriver::systemd) {
    SystemdPath names = TRY(resolve_systemd_path(request.cgroups_path, request.container_id));
    record.unit = std::move(names.unit);
    path = std::move(names.path);
  } else {
    path = TRY(resolve_cgroups_path(request.cgroups_path, request.container_id));
  }
  const auto hierarchies = TRY(find_cgroup_hierarchies());
  for (const CgroupHierarchy& hierarchy : hierarchies) {
    CgroupDir dir = plan_cgroup(hierarchy, path);
    TRY(check_free(dir));
    record.dirs.push_back(std::move(dir));
  }
  return record;
}

Result<HostCgroup> HostCgroup::create(const CgroupRequest& request) {
  const auto hierarchies = TRY(find_cgroup_hierarchies());
  HostCgroup cgroup{CgroupRecord{.driver = request.driver, .unit = "", .dirs = {}}};
  Rollback rollback;
  rollback.push([&cgroup] { static_cast<void>(cgroup.remove(kRollbackDeadline)); });
  const bool systemd = request.driver == CgroupDriver::systemd;
  const std::string path =
      systemd ? TRY(start_unit(request, cgroup.record_, hierarchies))
              : TRY(resolve_cgroups_path(request.cgroups_path, request.container_id));
  for (const CgroupHierarchy& hierarchy : hierarchies) {
    MadeCgroup made = TRY(make_cgroup(hierarchy, path));
    // The scope that systemd has just made holds `first` already.
    if (made.existed && !systemd) {
      TRY(check_free(made.dir));
    }
    cgroup.record_.dirs.push_back(std::move(made.dir));
  }
  cgroup.notes_ = TRY(apply_limits(cgroup.record_.dirs, request.limits));
  TRY(cgroup.join(request.first));
  rollback.release();
  return cgroup;
}

HostCgroup HostCgroup::adopt(CgroupRecord record) {
  return HostCgroup(std::move(record));
}

Result<void> HostCgroup::join(pid_t pid) const {
  return join_all(record_.dirs, pid);
}

Result<std::vector<pid_t>> HostCgroup::pids() const {
  std::set<pid_t> all;
  for (const CgroupDir& dir : record_.dirs) all.merge(TRY(processes_below(directory_of(dir))));
  return std::vector<pid_t>(all.begin(), all.end());
}

Result<std::vector<std::string>> HostCgroup::update(const HostLimits& limits) const {
  if (!record_.unit.empty()) {
    TRY(update_scope(record_.unit, limits, keeps_units(record_.dirs), kSystemdDeadline));
  }
  return apply_limits(record_.dirs, limits);
}

Result<void> HostCgroup::remove(milliseconds deadline) const {
  // All of them even when one fails: what is left is then as little as possible.
  Result<void> outcome;
  for (const CgroupDir& dir : record_.dirs) {
    auto removed = remove_cgroup(dir, deadline);
    if (removed) continue;
    outcome = outcome ? std::move(removed)
                      : std::unexpected(std::move(outcome).error().also(removed.error()));
  }
  if (!outcome || record_.unit.empty()) return outcome;
  return stop_scope(record_.unit, kSystemdDeadline);
}

}  // namespace agentvm::runtime
