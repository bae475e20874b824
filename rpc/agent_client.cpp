#include "rpc/agent_client.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "oci/base/try.h"
#include "rpc/payload.h"

namespace agentvm::rpc {

namespace {

template <class Response>
Task<Response> typed(Task<std::string> call, const char* method, std::size_t limit) {
  auto answer = co_await std::move(call);
  const std::string payload = CO_TRY(std::move(answer));
  Response response;
  if (payload.size() > limit || !deserialize(payload, response)) {
    co_return fail(ErrorKind::unavailable,
                   fmt::format("the agent's answer to {} is not understood", method));
  }
  co_return response;
}

}  // namespace

#define AGENTVM_DEFINE(name, Name, limit)                                                    \
  Task<agent::v1::Name##Response> AgentClient::name(const agent::v1::Name##Request& request, \
                                                    std::chrono::milliseconds timeout) {     \
    return typed<agent::v1::Name##Response>(                                                 \
        client_.call(kAgentService, #Name, serialize(request), timeout), #Name, limit);      \
  }
AGENTVM_AGENT_METHODS(AGENTVM_DEFINE)
#undef AGENTVM_DEFINE

}  // namespace agentvm::rpc
