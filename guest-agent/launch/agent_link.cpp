#include "guest-agent/launch/agent_link.h"

#include <unistd.h>

#include <array>
#include <cerrno>

#include "oci/base/sys.h"

namespace agentvm::guest {

namespace {

// As a shell's for what it could not execute; agent.proto promises it for a failed start.
constexpr int kExitFailed = 127;

}  // namespace

Result<void> AgentLink::wait_for_go() const {
  char byte = 0;
  ssize_t n = -1;
  do {
    n = ::read(socket_.get(), &byte, 1);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return fail_errno(errno, "hear from the agent");
  if (n == 1 && byte == kGoOn) return {};
  return fail(ErrorKind::unavailable, "the agent has given up");
}

Result<void> AgentLink::send_terminal(int master) const {
  return sys::send_fds(socket_.get(), write_report(ReportKind::terminal), std::array{master});
}

Result<void> AgentLink::send(ReportKind kind) const {
  return sys::write_all(socket_.get(), write_report(kind));
}

void AgentLink::fail_and_exit(const Error& error) const {
  (void)sys::write_all(socket_.get(), write_failure(error));
  ::_exit(kExitFailed);
}

}  // namespace agentvm::guest
