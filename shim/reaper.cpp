#include "shim/reaper.h"

#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <csignal>

namespace agentvm::shim {

Result<std::unique_ptr<Reaper>> Reaper::create(const asio::any_io_executor& executor) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);
  UniqueFd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return fail_errno(errno, "signalfd");
  std::unique_ptr<Reaper> reaper(new Reaper(executor, std::move(signals)));
  asio::co_spawn(executor, reaper->run(), asio::detached);
  return reaper;
}

asio::awaitable<void> Reaper::run() {
  for (;;) {
    if (auto ready = co_await wait_readable(signals_.get()); !ready) co_return;
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) > 0) {
    }
    reap();
  }
}

void Reaper::reap() {
  int status = 0;
  for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    const auto found = watched_.find(pid);
    if (found != watched_.end()) {
      const auto ended = std::move(found->second);
      watched_.erase(found);
      ended(status);
    } else if (holds_ > 0) {
      unclaimed_[pid] = status;
    }
  }
}

void Reaper::watch(pid_t pid, std::function<void(int)> ended) {
  const auto early = unclaimed_.find(pid);
  if (early == unclaimed_.end()) {
    watched_[pid] = std::move(ended);
    return;
  }
  const int status = early->second;
  unclaimed_.erase(early);
  asio::post(executor_, [ended = std::move(ended), status] { ended(status); });
}

asio::awaitable<int> Reaper::wait(pid_t pid) {
  struct Outcome {
    explicit Outcome(const asio::any_io_executor& on) : done(on) {}
    Event done;
    int status = 0;
  };
  auto outcome = std::make_shared<Outcome>(executor_);
  watch(pid, [outcome](int status) {
    outcome->status = status;
    outcome->done.set();
  });
  co_await outcome->done.wait();
  co_return outcome->status;
}

}  // namespace agentvm::shim
