// prepare_cgroup_tree(): the inner cgroups, the controllers, and what the kernel can limit.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "guest-agent/cgroup.h"
#include "guest-agent/cgroup_files.h"
#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

Result<void> make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST) return {};
  return fail_errno(errno, fmt::format("make cgroup '{}'", path));
}

Result<void> enable_controllers(const std::string& path) {
  const std::string controllers = TRY(sys::read_file(path + "/cgroup.controllers", 4096));
  for (const std::string_view name : split(controllers, " \n")) {
    TRY(sys::write_file(path + "/cgroup.subtree_control", fmt::format("+{}", name)),
        "enable controller '{}'", name);
  }
  return {};
}

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

// "2MB" out of "hugetlb.2MB.max", for the sizes that /sys/kernel/mm/hugepages lists in kB.
std::string page_size_name(std::uint64_t kilobytes) {
  if (kilobytes >= 1048576) return fmt::format("{}GB", kilobytes / 1048576);
  if (kilobytes >= 1024) return fmt::format("{}MB", kilobytes / 1024);
  return fmt::format("{}KB", kilobytes);
}

std::set<std::string> huge_page_sizes() {
  std::set<std::string> names;
  constexpr std::string_view kDirectory = "/sys/kernel/mm/hugepages";
  const auto directories = cgroup_directories(std::string(kDirectory));
  if (!directories) return names;
  for (const std::string_view path : *directories) {
    constexpr std::string_view kPrefix = "/sys/kernel/mm/hugepages/hugepages-";
    if (!path.starts_with(kPrefix) || !path.ends_with("kB")) continue;
    const auto size = parse_number(path.substr(kPrefix.size(), path.size() - kPrefix.size() - 2));
    if (size) names.insert(page_size_name(*size));
  }
  return names;
}

// One more than the last number of a list such as "0-3" or "0".
std::uint32_t count_of(const std::string& path) {
  const auto text = sys::read_file(path, 4096);
  if (!text) return 1;
  const std::size_t at = text->find_last_of("-,");
  const auto last =
      parse_number(std::string_view(*text).substr(at == std::string::npos ? 0 : at + 1));
  return last && *last < 65536 ? static_cast<std::uint32_t>(*last) + 1 : 1;
}

// Files of controllers exist only in cgroups below a root: look into one that has them.
CgroupMachine read_machine(const std::string& containers, const std::string& probe) {
  CgroupMachine machine;
  const std::string controllers =
      sys::read_file(containers + "/cgroup.subtree_control", 4096).value_or("");
  for (const std::string_view name : split(controllers, " \n")) machine.controllers.emplace(name);
  machine.cpus = count_of("/sys/devices/system/cpu/online");
  machine.memory_nodes = count_of("/sys/devices/system/node/online");
  machine.swap_limit = exists(probe + "/memory.swap.max");
  machine.io_weight = exists(probe + "/io.weight");
  machine.io_bfq_weight = exists(probe + "/io.bfq.weight");
  machine.huge_page_sizes = huge_page_sizes();
  return machine;
}

// `path` without the directory that its file system is mounted on.
Result<std::string> path_in_hierarchy(const std::string& path) {
  struct stat here{};
  if (::stat(path.c_str(), &here) != 0) return fail_errno(errno, fmt::format("stat '{}'", path));
  std::size_t top = path.size();
  while (top > 0) {
    const std::size_t slash = path.rfind('/', top - 1);
    struct stat above{};
    const std::string parent = path.substr(0, slash);
    if (slash == 0 || slash == std::string::npos || ::stat(parent.c_str(), &above) != 0 ||
        above.st_dev != here.st_dev) {
      break;
    }
    top = slash;
  }
  return path.substr(top);
}

}  // namespace

Result<CgroupTree> prepare_cgroup_tree(const std::string& root, bool move_self) {
  const std::string agent = root + "/agent";
  const std::string containers = root + "/containers";
  TRY(make_directory(agent));
  if (move_self) TRY(sys::write_file(agent + "/cgroup.procs", "0"), "move the agent");
  TRY(enable_controllers(root));
  TRY(make_directory(containers));
  TRY(enable_controllers(containers));
  CgroupTree tree;
  tree.containers = containers;
  tree.hierarchy_path = TRY(path_in_hierarchy(containers));
  tree.machine = read_machine(containers, agent);
  tree.device_programs = std::make_shared<DevicePrograms>();
  return tree;
}

}  // namespace agentvm::guest
