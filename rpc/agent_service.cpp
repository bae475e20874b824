#include "rpc/agent_service.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "oci/base/try.h"
#include "rpc/payload.h"

namespace agentvm::rpc {

namespace {

template <class Request, class Response>
using Method = Task<Response> (AgentService::*)(CallContext&, Request);

template <class Request, class Response>
Task<std::string> dispatch(AgentService& service, Method<Request, Response> method,
                           const char* name, CallContext& call, std::string payload) {
  Request request;
  if (!deserialize(payload, request)) {
    co_return fail(ErrorKind::invalid_argument, fmt::format("not a {} request", name));
  }
  auto result = co_await (service.*method)(call, std::move(request));
  const Response response = CO_TRY(std::move(result));
  co_return serialize(response);
}

template <class Request, class Response>
void add(Server& server, AgentService& service, Method<Request, Response> method,
         const char* name) {
  server.handle(kAgentService, name,
                [&service, method, name](CallContext& call, std::string payload) {
                  return dispatch(service, method, name, call, std::move(payload));
                });
}

}  // namespace

void register_agent_service(Server& server, AgentService& service) {
#define AGENTVM_REGISTER(name, Name, limit) add(server, service, &AgentService::name, #Name);
  AGENTVM_AGENT_METHODS(AGENTVM_REGISTER)
#undef AGENTVM_REGISTER
}

}  // namespace agentvm::rpc
