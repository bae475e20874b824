#include "vmm/child.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <cerrno>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::vmm {

namespace {

constexpr int kReapPatienceMs = 10'000;

int wait_status_of(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return (info.si_status & 0xff) << 8;
  return info.si_status | (info.si_code == CLD_DUMPED ? 0x80 : 0);
}

}  // namespace

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)), pidfd_(std::move(other.pidfd_)), end_(other.end_) {}

Child& Child::operator=(Child&& other) noexcept {
  if (this == &other) return *this;
  end_now();
  pid_ = std::exchange(other.pid_, 0);
  pidfd_ = std::move(other.pidfd_);
  end_ = other.end_;
  return *this;
}

Child::~Child() {
  end_now();
}

void Child::end_now() {
  if (!pidfd_ || end_) return;
  kill();
  (void)wait_killed();
}

std::optional<int> Child::wait_killed() {
  if (end_) return end_;
  pollfd watched{pidfd_.get(), POLLIN, 0};
  while (::poll(&watched, 1, kReapPatienceMs) < 0 && errno == EINTR) {
  }
  return poll_end();
}

void Child::kill() const {
  if (!end_) (void)sys::pidfd_send_signal(pidfd_.get(), SIGKILL);
}

std::optional<int> Child::poll_end() {
  if (end_) return end_;
  siginfo_t info{};
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG) != 0) {
    // ECHILD: somebody else reaped it, how it ended is lost.
    if (errno != EINTR) return end_ = SIGKILL;
  }
  if (info.si_pid != 0) end_ = wait_status_of(info);
  return end_;
}

Task<int> Child::wait() {
  while (!poll_end()) {
    auto readable = co_await wait_readable(pidfd_.get());
    CO_TRY(std::move(readable), "wait for process {}", pid_);
  }
  co_return *end_;
}

}  // namespace agentvm::vmm
