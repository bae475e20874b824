// The monitor's control socket, kControlSocket in the state directory: one request per connection,
// served one after the other. Only root can reach it (the directory is 0700).
#pragma once

#include <functional>
#include <memory>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"
#include "runtime/channel.h"
#include "vmm/machine.h"

namespace agentvm::runtime {

class ControlServer {
 public:
  // Who answers which request.
  struct Verbs {
    std::function<Task<void>()> start;
    std::function<Task<void>(vmm::MachineSize)> grow;  // none: the VM is another one's
    // attach and detach, with the connection, which is its own from then on. None: no sandbox.
    std::function<void(Channel, Message)> of_member;
  };
  // Listens in the directory `state_dir` and serves until destruction.
  [[nodiscard]] static Result<std::unique_ptr<ControlServer>> create(
      const asio::any_io_executor& executor, int state_dir, Verbs verbs);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  struct State;
  explicit ControlServer(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace agentvm::runtime
