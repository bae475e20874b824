// The one waitpid(2) loop of the agent. As PID 1 it inherits every orphan of the guest; nobody else
// waits for a child.
//
// A child may die before its parent code knows its pid. While a Launching exists, statuses of
// children that nobody watches yet are kept for a watch() that comes; outside of one they belong to
// orphans and are dropped, so that a pid that comes around again never meets a stale status.
#pragma once

#include <sys/types.h>

#include <boost/asio/signal_set.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "oci/base/async.h"

namespace agentvm::guest {

class Reaper {
 public:
  // Takes over SIGCHLD of the process. One per process.
  explicit Reaper(const asio::any_io_executor& executor);
  Reaper(const Reaper&) = delete;
  Reaper& operator=(const Reaper&) = delete;

  class Launching {
   public:
    explicit Launching(Reaper& reaper) : reaper_(&reaper) { ++reaper_->launching_; }
    Launching(Launching&& other) noexcept : reaper_(std::exchange(other.reaper_, nullptr)) {}
    Launching& operator=(Launching&&) = delete;
    ~Launching();

   private:
    Reaper* reaper_;
  };
  // Hold it from before the fork until after the watch().
  [[nodiscard]] Launching launching() { return Launching(*this); }

  // Calls `done` once with the wait status when `pid` has ended; never from within watch().
  void watch(pid_t pid, std::function<void(int wait_status)> done);
  // As a task: the wait status of `pid`.
  [[nodiscard]] Task<int> wait(pid_t pid);

 private:
  static constexpr std::size_t kMaxUnclaimed = 1024;

  void wait_for_signal();
  void reap();

  asio::any_io_executor executor_;
  asio::signal_set signals_;
  std::map<pid_t, std::function<void(int)>> watched_;
  std::deque<std::pair<pid_t, int>> unclaimed_;
  int launching_ = 0;
};

}  // namespace agentvm::guest
