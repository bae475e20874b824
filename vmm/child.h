// A child process of ours: owned, watched by pidfd, killed and reaped with the object.
#pragma once

#include <sys/types.h>

#include <optional>
#include <utility>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"

namespace agentvm::vmm {

class Child {
 public:
  // `pid` is a child of the calling process that nobody else reaps, `pidfd` names it.
  Child(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  // SIGKILL, and waits for the end. A process that the kernel does not let go within ten seconds
  // (a dead network file system) is left as it is, killed: init or our own exit takes it.
  ~Child();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }  // readable once it has ended

  void kill() const;  // SIGKILL; nothing happens to one that has ended
  // After kill(): waits for the end, at most ten seconds.
  [[nodiscard]] std::optional<int> wait_killed();
  // How it ended, as waitpid(2) gives it; nothing while it runs. Reaps.
  [[nodiscard]] std::optional<int> poll_end();
  // Ends when the process has ended. Only one coroutine may wait, and the object must stay.
  [[nodiscard]] Task<int> wait();

 private:
  void end_now();
  pid_t pid_;
  UniqueFd pidfd_;
  std::optional<int> end_;
};

}  // namespace agentvm::vmm
