#include "runtime/cgroup_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/cgroup_tree.h"
#include "runtime/host_cgroup.h"

namespace agentvm::runtime {

namespace {

constexpr const char* kLimitV1 = "/memory.limit_in_bytes";
constexpr const char* kLimitV2 = "/memory.max";
constexpr const char* kMemoryAndSwap = "/memory.memsw.limit_in_bytes";

// Nothing: there is no such file, or no limit.
std::optional<std::uint64_t> read_limit(const std::string& path) {
  const auto text = sys::read_file(path, 64);
  if (!text) return std::nullopt;
  std::uint64_t bytes = 0;
  const auto [rest, code] = std::from_chars(text->data(), text->data() + text->size(), bytes);
  // cgroup v1 tells "none" as the largest number of pages.
  constexpr std::uint64_t kNone = std::uint64_t{1} << 62;
  if (code != std::errc() || bytes >= kNone) return std::nullopt;
  return bytes;
}

const CgroupDir* memory_dir(const CgroupRecord& cgroup) {
  const auto found = std::ranges::find_if(cgroup.dirs, [](const CgroupDir& dir) {
    return std::ranges::find(dir.controllers, "memory") != dir.controllers.end();
  });
  return found == cgroup.dirs.end() ? nullptr : &*found;
}

}  // namespace

Result<void> raise_memory_limit(const CgroupRecord& cgroup, std::uint64_t bytes) {
  const CgroupDir* const dir = memory_dir(cgroup);
  if (dir == nullptr) return {};
  const std::string path = directory_of(*dir);
  const auto present = read_limit(path + (dir->v2 ? kLimitV2 : kLimitV1));
  if (!present || *present >= bytes) return {};
  // cgroup v1 counts memory and swap together, and that sum first: it is never below the limit.
  if (const auto sum = dir->v2 ? std::nullopt : read_limit(path + kMemoryAndSwap)) {
    TRY(sys::write_file(path + kMemoryAndSwap, fmt::format("{}", bytes + (*sum - *present))),
        "limit the VM's memory and swap");
  }
  HostLimits limits;
  limits.pids.reset();
  limits.memory = static_cast<std::int64_t>(
      std::min<std::uint64_t>(bytes, std::numeric_limits<std::int64_t>::max()));
  for (const std::string& note : TRY(HostCgroup::adopt(cgroup).update(limits))) {
    log::info("{}", note);
  }
  return {};
}

}  // namespace agentvm::runtime
