// The agent's RPCs as the guest answers them.
#pragma once

#include "oci/base/async.h"
#include "rpc/agent_methods.h"
#include "rpc/server.h"

namespace agentvm::rpc {

class AgentService {
 public:
  virtual ~AgentService() = default;

  // virtual Task<agent::v1::XResponse> x(CallContext& call, agent::v1::XRequest request) = 0
#define AGENTVM_DECLARE(name, Name, limit)                    \
  [[nodiscard]] virtual Task<agent::v1::Name##Response> name( \
      CallContext& call, agent::v1::Name##Request request) = 0;
  AGENTVM_AGENT_METHODS(AGENTVM_DECLARE)
#undef AGENTVM_DECLARE
};

// Every RPC of agent.proto goes to `service`, which outlives the server. A payload that is no
// XRequest is answered INVALID_ARGUMENT.
void register_agent_service(Server& server, AgentService& service);

}  // namespace agentvm::rpc
