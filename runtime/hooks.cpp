#include "runtime/hooks.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "runtime/hook_process.h"

namespace agentvm::runtime {

namespace {

// The state as a file that ends, new for each hook: each reads it from its beginning.
Result<UniqueFd> make_input(const std::string& state_json) {
  UniqueFd file(::memfd_create("agentvm-hook-state", MFD_CLOEXEC));
  if (!file) return fail_errno(errno, "memfd_create");
  TRY(sys::write_all(file.get(), state_json));
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return fail_errno(errno, "seek");
  return file;
}

Result<void> run_one(const oci::Hook& hook, const HookContext& context) {
  const auto input = TRY(make_input(context.state_json), "hand over the state");
  HookCommand command{.path = hook.path,
                      .args = hook.args,
                      .env = hook.env,
                      .input = input.get(),
                      .network_namespace = context.network_namespace,
                      .timeout = {}};
  if (hook.timeout_s) command.timeout = std::chrono::seconds(*hook.timeout_s);
  const HookOutcome outcome = TRY(run_hook_process(command));
  const std::string streams = fmt::format("stdout: {}, stderr: {}", outcome.out, outcome.err);
  if (outcome.timed_out) {
    return fail(ErrorKind::unavailable, fmt::format("hook ran past specified timeout of {} s, {}",
                                                    hook.timeout_s.value_or(0), streams));
  }
  if (outcome.wait_status != 0) {
    return fail(ErrorKind::unavailable,
                fmt::format("{}, {}", go_wait_status(outcome.wait_status), streams));
  }
  return {};
}

}  // namespace

std::string_view name_of(HookKind kind) {
  switch (kind) {
    case HookKind::prestart:
      return "prestart";
    case HookKind::create_runtime:
      return "createRuntime";
    case HookKind::create_container:
      return "createContainer";
    case HookKind::poststart:
      return "poststart";
    case HookKind::poststop:
      return "poststop";
  }
  return "hook";
}

Result<void> run_hooks(HookKind kind, std::span<const oci::Hook> hooks,
                       const HookContext& context) {
  for (std::size_t i = 0; i < hooks.size(); ++i) {
    TRY(run_one(hooks[i], context), "error running {} hook #{}", name_of(kind), i);
  }
  return {};
}

std::vector<Error> run_every_hook(HookKind kind, std::span<const oci::Hook> hooks,
                                  const HookContext& context) {
  std::vector<Error> failures;
  for (std::size_t i = 0; i < hooks.size(); ++i) {
    auto ran = run_one(hooks[i], context);
    if (ran) continue;
    failures.push_back(
        std::move(ran).error().wrap(fmt::format("error running {} hook #{}", name_of(kind), i)));
  }
  return failures;
}

}  // namespace agentvm::runtime
