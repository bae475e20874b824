// containerd-shim-agentvm-v2: containerd's runtime `io.containerd.agentvm.v2`.
#include <fmt/format.h>
#include <sys/prctl.h>

#include <cstdio>
#include <string_view>
#include <vector>

#include "oci/base/try.h"
#include "shim/actions.h"
#include "shim/verb.h"
#include "shim/version.h"

namespace agentvm::shim {

namespace {

Result<int> run(std::span<const std::string_view> words) {
  const Arguments arguments = TRY(parse_arguments(words));
  switch (arguments.action) {
    case Action::start:
      return run_start(arguments);
    case Action::remove:
      return run_delete(arguments);
    case Action::serve:
      // Executed as /proc/self/exe, which is no name for ps(1).
      (void)::prctl(PR_SET_NAME, "containerd-shim-agentvm-v2");
      return run_serve(arguments);
    case Action::verb:
      (void)::prctl(PR_SET_NAME, "agentvm");
      return verb_main();
    case Action::info:
      return run_info();
    case Action::version:
      fmt::print("containerd-shim-agentvm-v2:\n  Version: {}\n", kVersion);
      return 0;
  }
  return 1;
}

}  // namespace

}  // namespace agentvm::shim

int main(int argc, char** argv) {
  const std::vector<std::string_view> words(argv + 1, argv + std::max(argc, 1));
  const auto status = agentvm::shim::run(words);
  if (status) return *status;
  // containerd shows this in its own error.
  fmt::print(stderr, "agentvm: {}\n", status.error().text());
  return 1;
}
