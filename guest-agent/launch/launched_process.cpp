#include "guest-agent/launch/launched_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "guest-agent/launch/id_mapped.h"
#include "guest-agent/launch/settings.h"
#include "guest-agent/launch/sources.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

LaunchedProcess::LaunchedProcess(Cloned child, UniqueFd socket, UniqueFd hook_state,
                                 oci::Process process, bool exec)
    : child_(std::move(child)),
      socket_(std::move(socket)),
      hook_state_(std::move(hook_state)),
      process_(std::move(process)),
      exec_(exec) {}

LaunchedProcess::~LaunchedProcess() {
  if (!started_) (void)sys::pidfd_send_signal(child_.pidfd.get(), SIGKILL);
}

Result<void> LaunchedProcess::begin(const oci::Spec& spec) {
  TRY(apply_early_settings(child_.pid, process_, exec_));
  if (!exec_ && has_namespace(spec, oci::NamespaceType::user)) {
    TRY(write_id_maps(child_.pid, spec.linux_->uid_mappings, spec.linux_->gid_mappings));
  }
  return send_go();
}

Result<void> LaunchedProcess::send_go() const {
  if (::send(socket_.get(), &kGoOn, 1, MSG_NOSIGNAL) == 1) return {};
  // It has ended, and what it reported tells more.
  if (errno == EPIPE || errno == ECONNRESET) return {};
  return fail_errno(errno, "talk to the new process");
}

Task<LaunchedProcess::Heard> LaunchedProcess::hear() {
  auto readable = co_await wait_readable(socket_.get());
  CO_TRY(std::move(readable));
  auto received = sys::receive_fds(socket_.get(), kLongestReport, 1);
  // The child died with a message of ours unread.
  if (!received && received.error().errnum == ECONNRESET) co_return Heard{true};
  auto message = CO_TRY(std::move(received));
  if (message.bytes.empty()) co_return Heard{true};
  Heard heard;
  heard.report = CO_TRY(parse_report(message.bytes));
  if ((heard.report.kind == ReportKind::terminal) != !message.fds.empty()) {
    co_return fail(ErrorKind::internal, "malformed report of a child");
  }
  if (!message.fds.empty()) terminal_ = std::move(message.fds[0]);
  co_return heard;
}

Task<void> LaunchedProcess::wait_until_ready() {
  for (;;) {
    auto outcome = co_await hear();
    const Heard heard = CO_TRY(std::move(outcome));
    if (heard.ended) {
      co_return fail(ErrorKind::unavailable, "the new process was killed during its set-up");
    }
    switch (heard.report.kind) {
      case ReportKind::terminal:
        continue;
      case ReportKind::ready:
        // Not reaped before the event loop runs again: the pid is still this child's.
        co_return apply_late_settings(child_.pid, process_, exec_);
      case ReportKind::failure:
        co_return std::unexpected(heard.report.error);
      case ReportKind::executing:
        break;
    }
    co_return fail(ErrorKind::internal, "a child reported out of order");
  }
}

Result<void> LaunchedProcess::write_state(const std::string& state_json) const {
  if (!hook_state_) return {};
  TRY(sys::write_all(hook_state_.get(), state_json), "state for hooks");
  // One hook must not change what the next one reads.
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  if (::fcntl(hook_state_.get(), F_ADD_SEALS, kSeals) != 0) {
    return fail_errno(errno, "state for hooks");
  }
  return {};
}

Task<void> LaunchedProcess::start(std::string state_json) {
  if (started_) co_return fail(ErrorKind::failed_precondition, "the process has been started");
  CO_TRY(write_state(state_json));
  CO_TRY(send_go());
  started_ = true;
  bool executing = false;
  for (;;) {
    auto outcome = co_await hear();
    const Heard heard = CO_TRY(std::move(outcome));
    if (heard.ended && executing) co_return Result<void>();
    if (heard.ended) {
      co_return fail(ErrorKind::unavailable, "the process was killed before it was executed");
    }
    if (heard.report.kind == ReportKind::failure) co_return std::unexpected(heard.report.error);
    executing = heard.report.kind == ReportKind::executing;
  }
}

}  // namespace agentvm::guest
