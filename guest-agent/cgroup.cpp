#include "guest-agent/cgroup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

#include "guest-agent/cgroup_events.h"
#include "guest-agent/cgroup_files.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

// A create refuses a limit that the container's first processes already exceed only when asked.
Result<void> check_memory_usage(const std::string& path, const oci::Resources& resources) {
  if (!resources.memory || !resources.memory->check_before_update.value_or(false)) return {};
  const std::int64_t limit = resources.memory->limit.value_or(0);
  if (limit <= 0) return {};
  const auto usage = read_number(path, "memory.current").value_or(0);
  if (usage <= static_cast<std::uint64_t>(limit)) return {};
  return fail(ErrorKind::failed_precondition,
              fmt::format("/linux/resources/memory/limit: rejecting memory limit {} because of "
                          "current usage {}",
                          limit, usage));
}

}  // namespace

Cgroup::Cgroup(std::string path, std::string hierarchy_path, const CgroupTree& tree)
    : path_(std::move(path)),
      hierarchy_path_(std::move(hierarchy_path)),
      machine_(tree.machine),
      device_programs_(tree.device_programs) {}

Result<Cgroup> Cgroup::create(const CgroupTree& tree, const std::string& name,
                              const oci::Resources& resources) {
  Cgroup made(fmt::format("{}/{}", tree.containers, name),
              fmt::format("{}/{}", tree.hierarchy_path, name), tree);
  if (::mkdir(made.path_.c_str(), 0755) != 0) {
    return fail_errno(errno, fmt::format("make cgroup '{}'", name));
  }
  auto applied = made.write_limits(resources);
  if (applied) applied = made.replace_device_rules(resources.devices);
  if (!applied) {
    ::rmdir(made.path_.c_str());
    return std::unexpected(std::move(applied).error());
  }
  made.applied_ = resources;
  return made;
}

Result<void> Cgroup::update(const oci::Resources& resources) {
  oci::Resources merged = merged_resources(applied_, resources);
  TRY(check_memory_usage(path_, resources));
  TRY(write_limits(merged));
  if (!resources.devices.empty()) TRY(replace_device_rules(resources.devices));
  applied_ = std::move(merged);
  return {};
}

Result<void> Cgroup::write_limits(const oci::Resources& resources) const {
  const auto writes = TRY(writes_for(resources, machine_));
  for (const CgroupWrite& write : writes) {
    TRY(sys::write_file(fmt::format("{}/{}", path_, write.file), write.value), "{}", write.field);
  }
  return {};
}

Result<void> Cgroup::replace_device_rules(const std::vector<oci::DeviceRule>& rules) {
  const DevicePolicy policy = TRY(device_policy(rules));
  auto program = TRY(device_programs_->load(device_program(policy)));
  auto directory = TRY(sys::open_at(AT_FDCWD, path_, O_RDONLY | O_DIRECTORY));
  const auto replaced = device_program_ ? std::optional<int>(device_program_->get()) : std::nullopt;
  TRY(attach_device_program(directory.get(), program->get(), replaced));
  device_program_ = std::move(program);
  return {};
}

Result<std::vector<pid_t>> Cgroup::processes() const {
  std::vector<pid_t> pids;
  for (const std::string& directory : TRY(cgroup_directories(path_))) {
    // An inner cgroup may go while we look; a threaded one has no list of its own (EOPNOTSUPP).
    const auto text = sys::read_file(directory + "/cgroup.procs", kMaxCgroupFile);
    if (!text && directory == path_) return std::unexpected(text.error());
    if (!text) continue;
    for (const std::string_view line : lines_of(*text)) {
      pid_t pid = 0;
      std::from_chars(line.data(), line.data() + line.size(), pid);
      if (pid > 0) pids.push_back(pid);
    }
  }
  std::ranges::sort(pids);
  return pids;
}

Result<std::string> Cgroup::place_for_exec(pid_t init) const {
  const std::string delegated =
      TRY(sys::read_file(path_ + "/cgroup.subtree_control", kMaxCgroupFile));
  if (delegated.find_first_not_of(" \n") == std::string::npos) return path_;
  return place_of(init);
}

// The directory of `pid`; not_found when it is neither here nor below.
Result<std::string> Cgroup::place_of(pid_t pid) const {
  const std::string membership = TRY(sys::read_file(fmt::format("/proc/{}/cgroup", pid), 65536));
  for (std::string_view line : lines_of(membership)) {
    if (!line.starts_with("0::")) continue;
    line.remove_prefix(3);
    if (!line.starts_with(hierarchy_path_)) break;
    line.remove_prefix(hierarchy_path_.size());
    if (!line.empty() && !line.starts_with('/')) break;
    return path_ + std::string(line);
  }
  return fail(ErrorKind::not_found,
              fmt::format("process {} is not in the container's cgroup", pid));
}

bool Cgroup::contains(pid_t pid) const {
  return place_of(pid).has_value();
}

Task<void> Cgroup::freeze(std::chrono::milliseconds deadline) const {
  CO_TRY(sys::write_file(path_ + "/cgroup.freeze", "1"), "freeze");
  auto frozen = co_await wait_for_cgroup_event(path_, "frozen", true, deadline);
  if (frozen) co_return frozen;
  auto undone = sys::write_file(path_ + "/cgroup.freeze", "0");
  if (!undone) frozen = std::unexpected(std::move(frozen).error().also(undone.error()));
  co_return std::unexpected(std::move(frozen).error().wrap("freeze"));
}

Task<void> Cgroup::thaw(std::chrono::milliseconds deadline) const {
  CO_TRY(sys::write_file(path_ + "/cgroup.freeze", "0"), "thaw");
  auto thawed = co_await wait_for_cgroup_event(path_, "frozen", false, deadline);
  co_return thawed;
}

Result<void> Cgroup::kill() const {
  return sys::write_file(path_ + "/cgroup.kill", "1");
}

Task<void> Cgroup::remove(std::chrono::milliseconds deadline) const {
  auto killed = kill();
  if (!killed && killed.error().errnum == ENOENT) co_return Result<void>();
  if (!killed) co_return killed;
  auto empty = co_await wait_for_cgroup_event(path_, "populated", false, deadline);
  if (!empty) co_return std::unexpected(std::move(empty).error().wrap("remove cgroup"));
  auto directories = CO_TRY(cgroup_directories(path_));
  for (auto directory = directories.rbegin(); directory != directories.rend(); ++directory) {
    if (::rmdir(directory->c_str()) != 0 && errno != ENOENT) {
      co_return fail_errno(errno, fmt::format("remove cgroup '{}'", *directory));
    }
  }
  co_return Result<void>();
}

std::uint64_t Cgroup::oom_kills() const {
  const auto text = sys::read_file(path_ + "/memory.events", kMaxCgroupFile);
  return text ? keyed_number(*text, "oom_kill").value_or(0) : 0;
}

Result<std::string> make_inner_cgroup(const std::string& cgroup, const std::string& suffix) {
  auto root = TRY(sys::open_at(AT_FDCWD, cgroup, O_PATH | O_DIRECTORY));
  TRY(sys::mkdirs_in_root(root.get(), suffix, 0755), "make cgroup '{}'", suffix);
  return fmt::format("{}/{}", cgroup, suffix);
}

}  // namespace agentvm::guest
