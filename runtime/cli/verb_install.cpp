#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "oci/base/try.h"
#include "runtime/cli/verbs.h"
#include "runtime/config.h"
#include "runtime/config_keys.h"
#include "runtime/install/install.h"

namespace agentvm::runtime::cli {

namespace {

Result<std::string> own_path() {
  std::error_code code;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", code);
  if (code) return fail_errno(code.value(), "find the path of agentvm itself");
  return path.string();
}

// `docker sandbox`: a link in the client's plugin directory to the program that `agentvm sandbox`
// is, too.
Result<void> link_plugin(const InstallOptions& options) {
  if (options.engine != EngineKind::docker) return {};
  std::string directory = options.plugins;
  if (directory.empty() && options.file.empty()) directory = "/usr/libexec/docker/cli-plugins";
  if (directory.empty()) return {};
  const std::string link = directory + "/docker-sandbox";
  const std::string program = install_dirs().libexec + "/agentvm-sandbox";
  std::error_code code;
  const auto there = std::filesystem::symlink_status(link, code);
  if (there.type() == std::filesystem::file_type::not_found) {
    if (options.remove) return {};
  } else if (there.type() != std::filesystem::file_type::symlink) {
    return fail(ErrorKind::already_exists,
                fmt::format("'{}' is somebody else's: it is left as it is", link));
  }
  if (options.dry_run) {
    fmt::print("{} would be {}\n", link, options.remove ? "removed" : "a link to " + program);
    return {};
  }
  (void)std::filesystem::remove(link, code);
  if (!code && !options.remove) {
    std::filesystem::create_directories(directory, code);
    if (!code) std::filesystem::create_symlink(program, link, code);
  }
  if (code) return fail_errno(code.value(), fmt::format("link '{}'", link));
  fmt::print("{} {}\n", options.remove ? "removed" : "linked", link);
  return {};
}

void print_plan(const InstallPlan& plan) {
  if (plan.after) {
    fmt::print("{} would be:\n{}", plan.path, *plan.after);
  } else {
    fmt::print("{} would be removed\n", plan.path);
  }
}

}  // namespace

Result<int> run_install(const Engine& engine, const InstallOptions& options) {
  InstallOrder order;
  order.engine = options.engine;
  order.file = options.file;
  order.remove = options.remove;
  order.entry.name = options.name;
  order.entry.program = TRY(own_path());
  if (engine.config_path != kConfigPath) order.entry.config_path = engine.config_path;
  const InstallPlan plan = TRY(plan_install(order));
  TRY(link_plugin(options));
  if (!plan.changes()) {
    fmt::print("{}: nothing to change\n", plan.path);
    return 0;
  }
  if (options.dry_run) {
    print_plan(plan);
    return 0;
  }
  TRY(carry_out(plan), "change '{}'", plan.path);
  fmt::print("{} {}", plan.after ? "wrote" : "removed", plan.path);
  if (plan.before) fmt::print(" (as it was: {})", backup_of(plan.path));
  fmt::print("\n");
  if (!plan.next.empty()) fmt::print("next: {}\n", plan.next);
  return 0;
}

}  // namespace agentvm::runtime::cli
