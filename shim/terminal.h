// A process's terminal: the runtime makes the pty and hands its master to a socket of ours; bytes
// are copied between it and the client's streams.
#pragma once

#include <memory>
#include <string>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"
#include "runtime/console.h"

namespace agentvm::shim {

class Terminal {
 public:
  // Listens in `bundle`.
  [[nodiscard]] static Result<std::unique_ptr<Terminal>> create(
      const asio::any_io_executor& executor, const std::string& bundle);
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // For --console-socket.
  [[nodiscard]] std::string socket() const;

  // Takes the master, which the runtime has sent by now, and starts copying. Either fd may be
  // absent.
  [[nodiscard]] Result<void> attach(UniqueFd in, UniqueFd out);
  // Before attach() it is kept for then.
  [[nodiscard]] Result<void> resize(runtime::WindowSize size);
  // Once the process is gone: until its output has been written, or the patience is at its end.
  asio::awaitable<void> wait_end(std::chrono::milliseconds patience);

 private:
  struct State;
  explicit Terminal(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace agentvm::shim
