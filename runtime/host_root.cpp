#include "runtime/host_root.h"

#include <unistd.h>

#include <sstream>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

// Longer than any map: 340 lines of 33 characters.
constexpr std::size_t kMaxMapBytes = 16384;
constexpr std::uint64_t kAllUids = 4294967295;

}  // namespace

Result<void> check_host_root(std::uint32_t uid, std::string_view uid_map) {
  constexpr const char* kInstead =
      "a rootless container cannot be a VM: call agentvm, or the engine, as the host's root";
  if (uid != 0) {
    return fail(ErrorKind::failed_precondition,
                fmt::format("running as uid {}: {}", uid, kInstead));
  }
  std::istringstream text{std::string(uid_map)};
  std::uint64_t inside = 1;
  std::uint64_t outside = 1;
  std::uint64_t count = 0;
  text >> inside >> outside >> count;
  if (inside == 0 && outside == 0 && count == kAllUids) return {};
  return fail(ErrorKind::failed_precondition,
              fmt::format("running in a user namespace: {}", kInstead));
}

Result<void> check_host_root() {
  const std::string map = TRY(sys::read_file("/proc/self/uid_map", kMaxMapBytes));
  return check_host_root(::geteuid(), map);
}

}  // namespace agentvm::runtime
