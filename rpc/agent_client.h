// The agent's RPCs as the host calls them. What each promises stands in agent.proto.
#pragma once

#include <chrono>
#include <utility>

#include "oci/base/async.h"
#include "rpc/agent_methods.h"
#include "rpc/client.h"

namespace agentvm::rpc {

class AgentClient {
 public:
  explicit AgentClient(Client client) : client_(std::move(client)) {}

  // Task<agent::v1::XResponse> x(const agent::v1::XRequest& request, timeout): the request is
  // serialized before this returns. A timeout of kNoDeadline waits as long as the connection lives.
  // Errors: those of Client::call, and unavailable for an answer that is no XResponse.
#define AGENTVM_DECLARE(name, Name, limit)                                                    \
  [[nodiscard]] Task<agent::v1::Name##Response> name(const agent::v1::Name##Request& request, \
                                                     std::chrono::milliseconds timeout);
  AGENTVM_AGENT_METHODS(AGENTVM_DECLARE)
#undef AGENTVM_DECLARE

  [[nodiscard]] Task<void> wait_closed() { return client_.wait_closed(); }
  void close() { client_.close(); }

 private:
  Client client_;
};

}  // namespace agentvm::rpc
