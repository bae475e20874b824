#include "runtime/mount_namespace.h"

#include <sched.h>
#include <sys/mount.h>

#include <cerrno>

namespace agentvm::runtime {

Result<void> enter_own_mounts() {
  if (::unshare(CLONE_NEWNS) != 0) return fail_errno(errno, "make a mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
    return fail_errno(errno, "make the mounts slaves of the host's");
  }
  return {};
}

}  // namespace agentvm::runtime
