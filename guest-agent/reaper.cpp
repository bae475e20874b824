#include "guest-agent/reaper.h"

#include <sys/wait.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <csignal>

namespace agentvm::guest {

Reaper::Launching::~Launching() {
  if (reaper_ == nullptr) return;
  if (--reaper_->launching_ == 0) reaper_->unclaimed_.clear();
}

Reaper::Reaper(const asio::any_io_executor& executor)
    : executor_(executor), signals_(executor, SIGCHLD) {
  wait_for_signal();
}

void Reaper::wait_for_signal() {
  signals_.async_wait([this](const boost::system::error_code& code, int) {
    if (code) return;
    wait_for_signal();
    reap();
  });
}

void Reaper::reap() {
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) return;
    const auto found = watched_.find(pid);
    if (found != watched_.end()) {
      auto done = std::move(found->second);
      watched_.erase(found);
      done(status);
    } else if (launching_ > 0) {
      if (unclaimed_.size() == kMaxUnclaimed) unclaimed_.pop_front();
      unclaimed_.emplace_back(pid, status);
    }
  }
}

void Reaper::watch(pid_t pid, std::function<void(int)> done) {
  const auto found =
      std::ranges::find(unclaimed_, pid, [](const auto& entry) { return entry.first; });
  if (found == unclaimed_.end()) {
    watched_[pid] = std::move(done);
    return;
  }
  const int status = found->second;
  unclaimed_.erase(found);
  asio::post(executor_, [done = std::move(done), status] { done(status); });
}

Task<int> Reaper::wait(pid_t pid) {
  struct Ended {
    explicit Ended(const asio::any_io_executor& executor) : event(executor) {}
    Event event;
    int status = 0;
  };
  auto ended = std::make_shared<Ended>(executor_);
  watch(pid, [ended](int status) {
    ended->status = status;
    ended->event.set();
  });
  co_await ended->event.wait();
  co_return ended->status;
}

}  // namespace agentvm::guest
