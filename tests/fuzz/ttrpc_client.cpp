// What a hostile guest can answer to the host: every call ends, and so does the connection.
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "oci/base/sys.h"
#include "rpc/agent_client.h"
#include "rpc/stream_fd.h"

namespace {

using namespace agentvm;

template <class T>
asio::awaitable<void> await(Task<T> call, int& ended) {
  const auto result = co_await std::move(call);
  if (!result && result.error().text().size() > 20000) std::abort();
  ++ended;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto [near, far] = *sys::socket_pair(SOCK_STREAM);
  asio::io_context io;
  auto client = rpc::Client::create(io.get_executor(), std::move(near));
  rpc::AgentClient agent(std::move(*client));
  int calls = 0;
  int ended = 0;
  // Streams 1, 3, 5, ... in the order of agent.proto.
#define AGENTVM_CALL(name, Name, limit) \
  ++calls;                              \
  rpc::spawn(io.get_executor(),         \
             await(agent.name(agent::v1::Name##Request(), rpc::kNoDeadline), ended));
  AGENTVM_AGENT_METHODS(AGENTVM_CALL)
#undef AGENTVM_CALL
  ++calls;
  rpc::spawn(io.get_executor(), await(agent.wait_closed(), ended));
  io.poll();
  const std::size_t sent = std::min<std::size_t>(size, 65536);
  if (::send(far.get(), data, sent, MSG_DONTWAIT) < 0 && sent != 0) std::abort();
  far.reset();
  io.restart();
  io.run();
  if (ended != calls) std::abort();
  return 0;
}
