// Children of this process, our own and the orphans that come to it as subreaper: the containers'
// stand-ins.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"

namespace agentvm::shim {

class Reaper {
 public:
  // SIGCHLD must be blocked. One in a process; it outlives the loop.
  [[nodiscard]] static Result<std::unique_ptr<Reaper>> create(
      const asio::any_io_executor& executor);

  // While one lives, the exits of processes that nobody watches yet are remembered: take it before
  // the process can exist, watch the process, let go.
  class Hold {
   public:
    explicit Hold(Reaper& reaper) : reaper_(reaper) { ++reaper_.holds_; }
    ~Hold() {
      if (--reaper_.holds_ == 0) reaper_.unclaimed_.clear();
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    Reaper& reaper_;
  };

  // `ended` gets the status of waitpid(2), from the loop, once.
  void watch(pid_t pid, std::function<void(int status)> ended);
  // For a child that has just been forked.
  [[nodiscard]] asio::awaitable<int> wait(pid_t pid);

 private:
  Reaper(asio::any_io_executor executor, UniqueFd signals)
      : executor_(std::move(executor)), signals_(std::move(signals)) {}
  asio::awaitable<void> run();
  void reap();

  asio::any_io_executor executor_;
  UniqueFd signals_;
  std::map<pid_t, std::function<void(int)>> watched_;
  std::map<pid_t, int> unclaimed_;
  int holds_ = 0;
};

}  // namespace agentvm::shim
