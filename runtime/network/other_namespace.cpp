#include "runtime/network/other_namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "oci/base/sys.h"

namespace agentvm::runtime {

void in_network_namespace(const std::string& path, const std::function<void()>& act) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto netns = sys::open_at(AT_FDCWD, path, O_RDONLY);
    if (netns && ::setns(netns->get(), CLONE_NEWNET) == 0) act();
    ::_exit(0);
  }
  while (child > 0 && ::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace agentvm::runtime
