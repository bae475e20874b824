// The agent's RPCs (agent.proto): the order of calls, and messages turned into the verbs of
// Containers.
#pragma once

#include <cstdint>
#include <functional>

#include "guest-agent/containers.h"
#include "guest-agent/growth.h"
#include "guest-agent/moments.h"
#include "guest-agent/network/network.h"
#include "guest-agent/reaper.h"
#include "guest-agent/stream_table.h"
#include "rpc/agent_service.h"

namespace agentvm::guest {

struct AgentSetup {
  CgroupTree cgroups;
  // What Configure does to the guest itself: clock, entropy, names, modules.
  std::function<Result<void>(const agent::v1::ConfigureRequest&)> configure_guest;
  // Whether SetNetwork may change the network that this process is in.
  bool owns_network = false;
  // The end: all processes are dead and all files on their disks.
  std::function<void()> power_off;
  // Milliseconds of guest uptime.
  std::uint32_t init_started_ms = 0;
  std::uint32_t serving_ms = 0;
};

class Agent final : public rpc::AgentService {
 public:
  // Reaper and streams outlive the agent.
  Agent(const asio::any_io_executor& executor, Reaper& reaper, StreamTable& streams,
        AgentSetup setup);

  // Of the guest's own start: told with Configure.
  [[nodiscard]] Moments& moments() { return moments_; }

  // Kills every container, syncs (for as long as that may take when a disk is gone) and powers off.
  asio::awaitable<void> end_guest();

#define AGENTVM_DECLARE(name, Name, limit)                                                       \
  Task<agent::v1::Name##Response> name(rpc::CallContext& call, agent::v1::Name##Request request) \
      override;
  AGENTVM_AGENT_METHODS(AGENTVM_DECLARE)
#undef AGENTVM_DECLARE

 private:
  [[nodiscard]] Result<void> check_configured() const;

  asio::any_io_executor executor_;
  Reaper& reaper_;
  AgentSetup setup_;
  Containers containers_;
  Network network_;
  GuestGrowth growth_;
  Moments moments_;
  enum class Phase : std::uint8_t { fresh, configured, unusable, ending } phase_ = Phase::fresh;
};

}  // namespace agentvm::guest
