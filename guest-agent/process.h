// One process that the agent started: a container's init or an exec in it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "guest-agent/launch.h"
#include "guest-agent/process_io.h"
#include "oci/base/async.h"
#include "oci/base/unique_fd.h"
#include "rpc/server.h"

namespace agentvm::guest {

// wait(2): signal 0 means that it exited with exit_code.
struct ExitStatus {
  std::uint32_t exit_code = 0;
  std::uint32_t signal = 0;
  bool oom_killed = false;
  friend bool operator==(const ExitStatus&, const ExitStatus&) = default;
};

[[nodiscard]] ExitStatus exit_status_of(int wait_status);

class Process {
 public:
  // `pid` is a child of ours that is not reaped yet, or whose end watch() will still tell.
  Process(const asio::any_io_executor& executor, pid_t pid, std::shared_ptr<ProcessIo> io);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] ProcessIo& io() { return *io_; }

  // kill(2) to this process and never to a later one with its pid. not_found "process already
  // finished" once it has ended; signal 0 asks just that.
  [[nodiscard]] Result<void> signal(int signal) const;

  // The process lives at most as long as `owner`: `kill` runs when that connection ends, at once
  // when it has ended already, and not any more after the process has.
  void set_owner(std::shared_ptr<rpc::Connection> owner, std::function<void()> kill);
  // True when the connection that made the process is gone: nobody will ask for its status.
  [[nodiscard]] bool orphaned() const { return owner_ && owner_->closed(); }

  // Its end as the reaper saw it. A status that was set before (a failed start) stays.
  void set_exited(ExitStatus status);
  // The status to tell in place of the real one ("as if init had exited with 127"); before
  // set_finished().
  void override_status(ExitStatus status);
  [[nodiscard]] bool has_exited() const { return exited_.is_set(); }
  asio::awaitable<void> wait_exited() { return exited_.wait(); }

  // Its output is with the host to the last byte: the status may be told.
  void set_finished() { finished_.set(); }
  [[nodiscard]] bool is_finished() const { return finished_.is_set(); }
  asio::awaitable<void> wait_finished() { return finished_.wait(); }
  [[nodiscard]] const ExitStatus& status() const { return status_; }

 private:
  pid_t pid_;
  UniqueFd pidfd_;
  std::shared_ptr<ProcessIo> io_;
  std::shared_ptr<rpc::Connection> owner_;
  rpc::Connection::HookId owner_hook_ = 0;
  ExitStatus status_;
  bool overridden_ = false;
  Event exited_;
  Event finished_;
};

}  // namespace agentvm::guest
