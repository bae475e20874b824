#include "guest-agent/modules.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fnmatch.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "guest-agent/cgroup_files.h"
#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "rpc/guest_contract.h"

namespace agentvm::guest {

namespace {

constexpr const char* kBootList = "/etc/modules";
constexpr std::string_view kModules = "/lib/modules";
constexpr std::size_t kMaxList = std::size_t{1} << 20;

std::string module_name(std::string_view text) {
  std::string name(text);
  std::ranges::replace(name, '-', '_');
  return name;
}

Result<void> insert_module(const std::string& path) {
  auto file = TRY(sys::open_at(AT_FDCWD, path, O_RDONLY));
  if (::syscall(SYS_finit_module, file.get(), "", 0) == 0 || errno == EEXIST) return {};
  return fail_errno(errno, fmt::format("load module '{}'", path));
}

}  // namespace

Result<ModuleDependencies> parse_module_dependencies(std::string_view text) {
  ModuleDependencies known;
  for (const std::string_view line : lines_of(text)) {
    const std::size_t colon = line.find(':');
    if (colon == 0 || colon == std::string_view::npos) {
      return fail(ErrorKind::invalid_argument,
                  fmt::format("module dependencies: '{}' is not \"NAME: DEP...\"", line));
    }
    auto& needed = known[module_name(line.substr(0, colon))];
    for (const std::string_view name : split(line.substr(colon + 1), " ")) {
      needed.push_back(module_name(name));
    }
  }
  return known;
}

Result<std::vector<std::string>> modules_for(const ModuleDependencies& known,
                                             std::string_view name) {
  std::string wanted = module_name(name);
  const auto found = known.find(wanted);
  if (found == known.end()) {
    return fail(ErrorKind::not_found, fmt::format("the guest has no kernel module '{}'", wanted));
  }
  std::vector<std::string> order = found->second;
  order.push_back(std::move(wanted));
  return order;
}

Result<void> load_boot_modules() {
  const auto list = sys::read_file(kBootList, kMaxList);
  if (!list && list.error().errnum == ENOENT) return {};
  if (!list) return std::unexpected(list.error());
  for (const std::string_view line : lines_of(*list)) {
    if (line.starts_with('#')) continue;
    TRY(insert_module(line.starts_with('/') ? std::string(line)
                                            : fmt::format("{}/{}", kModules, line)));
  }
  return {};
}

namespace {

// `name` by the dependencies in `directory`; not_found when that has no such module.
Result<void> load_from(const std::string& directory, std::string_view name) {
  const std::string text = TRY(sys::read_file(fmt::format("{}/agentvm.dep", directory), kMaxList));
  const ModuleDependencies known = TRY(parse_module_dependencies(text));
  // A kernel without modules has built in whatever it can do.
  if (known.empty()) return {};
  for (const std::string& module : TRY(modules_for(known, name))) {
    TRY(insert_module(fmt::format("{}/{}.ko", directory, module)));
  }
  return {};
}

bool has_shared_modules() {
  return ::access(fmt::format("{}/agentvm.dep", rpc::kSharedModules).c_str(), R_OK) == 0;
}

// From the kernel's view to the agent's, where the share is mounted.
Result<void> enter_agent_mounts() {
  const auto agent = TRY(sys::pidfd_open(1));
  if (::setns(agent.get(), CLONE_NEWNS) != 0) return fail_errno(errno, "enter the agent's mounts");
  return {};
}

}  // namespace

Result<void> load_module(std::string_view name) {
  // Built in, with parameters, or loaded: the kernel lists it.
  if (::access(fmt::format("/sys/module/{}", module_name(name)).c_str(), F_OK) == 0) return {};
  auto loaded = load_from(std::string(kModules), name);
  const bool elsewhere = !loaded && loaded.error().kind == ErrorKind::not_found;
  return elsewhere && has_shared_modules() ? load_from(rpc::kSharedModules, name) : loaded;
}

std::vector<std::string> modules_for_alias(std::string_view aliases, const std::string& wanted) {
  std::vector<std::string> found;
  for (const std::string_view line : lines_of(aliases)) {
    const auto words = split(line, " ");
    if (words.size() != 3 || words[0] != "alias") continue;
    if (::fnmatch(std::string(words[1]).c_str(), wanted.c_str(), 0) != 0) continue;
    found.emplace_back(words[2]);
  }
  return found;
}

Result<void> serve_module_requests() {
  if (!has_shared_modules()) return {};
  if (::mkdir("/sbin", 0755) != 0 && errno != EEXIST) return fail_errno(errno, "make '/sbin'");
  if (::symlink(rpc::kGuestInit, kModuleLoader) != 0 && errno != EEXIST) {
    return fail_errno(errno, "make the kernel's module loader");
  }
  return {};
}

int answer_module_request(const std::string& name) {
  const auto load = [&name]() -> Result<void> {
    TRY(enter_agent_mounts());
    auto loaded = load_module(name);
    if (loaded || loaded.error().kind != ErrorKind::not_found) return loaded;
    const std::string path = fmt::format("{}/modules.alias", rpc::kSharedModules);
    for (const std::string& module : modules_for_alias(TRY(sys::read_file(path, kMaxList)), name)) {
      TRY(load_module(module));
      loaded = Result<void>{};
    }
    return loaded;
  };
  return load() ? 0 : 1;
}

}  // namespace agentvm::guest
