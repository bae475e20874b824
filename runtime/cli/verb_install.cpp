#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "oci/base/try.h"
#include "runtime/cli/verbs.h"
#include "runtime/config.h"
#include "runtime/install/install.h"

namespace agentvm::runtime::cli {

namespace {

Result<std::string> own_path() {
  std::error_code code;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", code);
  if (code) return fail_errno(code.value(), "find the path of agentvm itself");
  return path.string();
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
