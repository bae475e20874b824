#include "guest-agent/launch/seccomp_load.h"

#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace agentvm::guest {

Result<void> load_seccomp(const oci::SeccompFilter& filter) {
  sock_fprog program{};
  program.len = static_cast<unsigned short>(filter.program.size());
  program.filter = const_cast<sock_filter*>(filter.program.data());
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter.flags, &program) != 0) {
    return fail_errno(errno, "load the seccomp filter");
  }
  return {};
}

}  // namespace agentvm::guest
