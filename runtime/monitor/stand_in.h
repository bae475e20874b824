// What the processes that stand in for containers have in common, the monitor of a VM and a member
// of a pod: a container in a guest from the command that creates it to the exit of its init.
#pragma once

#include <csignal>
#include <functional>
#include <memory>

#include "oci/base/async.h"
#include "rpc/agent_client.h"
#include "runtime/channel.h"
#include "runtime/monitor/plan.h"
#include "runtime/session/guest_process.h"
#include "runtime/session/process_streams.h"

namespace agentvm::runtime {

inline constexpr InitExit kKilled{0, SIGKILL};
// For the record, which commands hold for moments.
inline constexpr std::chrono::milliseconds kLockDeadline{5000};

// The command that creates the container, as seen from the process that it has made.
class Creator {
 public:
  Creator(asio::io_context& io, Channel& channel) : io_(io), channel_(channel) {}

  // Until created() nobody but the creator knows of us: its end is ours, at whatever we are.
  void follow();
  // unavailable when it has ended, or says anything else.
  [[nodiscard]] Task<void> await(MessageType expected);
  [[nodiscard]] Result<void> created(const Timings& timings);
  void failed(Error error) { (void)channel_.send({MessageType::failed, "", std::move(error)}); }
  [[nodiscard]] bool has_been_told() const { return created_; }

 private:
  Task<void> watch();

  asio::io_context& io_;
  Channel& channel_;
  bool created_ = false;
};

class GuestContainer {
 public:
  // `plan` outlives it.
  GuestContainer(StandInPlan& plan, HostStdio stdio) : plan_(plan), stdio_(std::move(stdio)) {}

  // `request` has what is particular to the guest; the rest is the plan's. The container dies with
  // the agent's connection.
  [[nodiscard]] Task<void> create(std::shared_ptr<rpc::AgentClient> agent,
                                  agent::v1::CreateContainerRequest request);
  // A command's `start`: `before` is done first; where that fails, the container ends as a program
  // that cannot be executed does: engines delete what failed to start, and only what has ended can
  // be deleted.
  [[nodiscard]] Task<void> start(std::function<Task<void>()> before);
  // To the end of init and of its output; nothing when the guest went away first.
  [[nodiscard]] Task<InitExit> wait();
  void record_exit(const InitExit& how);

 private:
  [[nodiscard]] Task<void> start_program(const ContainerRecord& record);
  void fill(agent::v1::CreateContainerRequest& request) const;

  StandInPlan& plan_;
  HostStdio stdio_;
  std::shared_ptr<rpc::AgentClient> agent_;
  std::unique_ptr<ProcessStreams> streams_;
  std::unique_ptr<SignalRelay> signals_;
};

// For a process that has just been made: its title, its standard streams, which become /dev/null.
[[nodiscard]] Result<HostStdio> begin_stand_in(StandInPlan& plan);

}  // namespace agentvm::runtime
