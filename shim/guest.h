// A container's guest, asked directly: what needs an answer at once and no process of its own.
#pragma once

#include <memory>
#include <string>

#include "oci/base/async.h"
#include "rpc/agent_client.h"
#include "runtime/state_dir.h"

namespace agentvm::shim {

class Guest {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Guest>> open(const std::string& root,
                                                           const std::string& id);

  // `exec`: the agent's name of an exec, empty for the init. unavailable when the guest does not
  // answer in time.
  [[nodiscard]] Task<void> signal(std::string exec, std::uint32_t number, bool all);
  [[nodiscard]] Task<agent::v1::ContainerStatsResponse> stats();
  // Ends when more than `seen` processes of the container were killed for want of memory, or with its
  // init, or with the guest.
  [[nodiscard]] Task<agent::v1::WaitOomResponse> wait_oom(std::uint64_t seen);

  // Ends once the stand-in has recorded how the init ended, its output passed on: before it takes
  // the VM down, which is slow where there is much memory. not_found when the container is deleted.
  [[nodiscard]] Task<runtime::InitExit> wait_recorded_exit();

  // The agent's name of the exec whose stand-in is `pid`.
  [[nodiscard]] Result<std::string> exec_name(pid_t pid) const;

 private:
  explicit Guest(runtime::StateDir dir) : dir_(std::move(dir)) {}
  // One connection for all of it, made when it is needed and anew when it broke.
  [[nodiscard]] Task<std::shared_ptr<rpc::AgentClient>> agent();
  void forget(const std::shared_ptr<rpc::AgentClient>& agent, const Error& error);

  runtime::StateDir dir_;
  std::shared_ptr<rpc::AgentClient> agent_;
};

}  // namespace agentvm::shim
