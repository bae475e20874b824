// What a client can send to a ttrpc server with the agent's RPCs on it: serve() must end, and every
// hook must have run.
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "oci/base/sys.h"
#include "rpc/agent_service.h"
#include "rpc/stream_fd.h"

namespace {

using namespace agentvm;

class Agent : public rpc::AgentService {
 public:
#define AGENTVM_ANSWER(name, Name, limit)                                                        \
  Task<agent::v1::Name##Response> name(rpc::CallContext& call, agent::v1::Name##Request request) \
      override {                                                                                 \
    ++hooks_set;                                                                                 \
    call.connection->on_closed([this] { ++hooks_run; });                                         \
    if (request.ByteSizeLong() % 2 == 1) co_return fail(ErrorKind::not_found, "odd");            \
    co_return agent::v1::Name##Response();                                                       \
  }
  AGENTVM_AGENT_METHODS(AGENTVM_ANSWER)
#undef AGENTVM_ANSWER
  int hooks_set = 0;
  int hooks_run = 0;
};

asio::awaitable<void> serve(rpc::Server& server, UniqueFd socket, bool& ended) {
  static_cast<void>(co_await server.serve(std::move(socket)));
  ended = true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto [near, far] = *sys::socket_pair(SOCK_STREAM);
  const std::size_t sent = std::min<std::size_t>(size, 65536);
  if (::send(far.get(), data, sent, MSG_DONTWAIT) < 0 && sent != 0) std::abort();
  ::shutdown(far.get(), SHUT_WR);
  asio::io_context io;
  Agent agent;
  rpc::Server server({.connections = 1, .calls_per_connection = 8, .unsent_bytes = 4096});
  rpc::register_agent_service(server, agent);
  bool ended = false;
  rpc::spawn(io.get_executor(), serve(server, std::move(near), ended));
  // Once the server waits for a client that takes no answers, the client goes.
  io.poll();
  far.reset();
  io.restart();
  io.run();
  if (!ended || server.connections() != 0 || agent.hooks_set != agent.hooks_run) std::abort();
  return 0;
}
