#include "guest-agent/process.h"

#include <sys/wait.h>

#include <cerrno>
#include <utility>

#include "oci/base/sys.h"

namespace agentvm::guest {

ExitStatus exit_status_of(int wait_status) {
  ExitStatus status;
  if (WIFSIGNALED(wait_status)) {
    status.signal = static_cast<std::uint32_t>(WTERMSIG(wait_status));
  } else {
    status.exit_code = static_cast<std::uint32_t>(WEXITSTATUS(wait_status));
  }
  return status;
}

Process::Process(const asio::any_io_executor& executor, pid_t pid, std::shared_ptr<ProcessIo> io)
    : pid_(pid), io_(std::move(io)), exited_(executor), finished_(executor) {
  // Without a pidfd it has ended and been reaped meanwhile.
  auto pidfd = sys::pidfd_open(pid);
  if (pidfd) pidfd_ = *std::move(pidfd);
}

Process::~Process() {
  if (owner_) owner_->forget(owner_hook_);
}

Result<void> Process::signal(int signal) const {
  if (has_exited() || !pidfd_) return fail(ErrorKind::not_found, "process already finished");
  auto sent = sys::pidfd_send_signal(pidfd_.get(), signal);
  if (!sent && sent.error().errnum == ESRCH) {
    return fail(ErrorKind::not_found, "process already finished");
  }
  return sent;
}

void Process::set_owner(std::shared_ptr<rpc::Connection> owner, std::function<void()> kill) {
  owner_ = std::move(owner);
  owner_hook_ = owner_->on_closed(std::move(kill));
}

void Process::set_exited(ExitStatus status) {
  if (!overridden_) status_ = status;
  exited_.set();
  if (owner_) owner_->forget(owner_hook_);
}

void Process::override_status(ExitStatus status) {
  status_ = status;
  overridden_ = true;
}

}  // namespace agentvm::guest
