#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rpc/agent_client.h"
#include "rpc/agent_service.h"
#include "tests/rpc/pair.h"

namespace agentvm::rpc {
namespace {

// Answers every RPC with an error that names it, but for the few that a test looks into.
class FakeAgent : public AgentService {
 public:
#define AGENTVM_STUB(name, Name, limit)                                                   \
  Task<agent::v1::Name##Response> name(CallContext&, agent::v1::Name##Request) override { \
    called.emplace_back(#Name);                                                           \
    co_return fail(ErrorKind::already_exists, #Name);                                     \
  }
#define AGENTVM_STUBS(X)                                                            \
  X(configure, Configure, 0)                                                        \
  X(set_network, SetNetwork, 0)                                                     \
  X(start_container, StartContainer, 0)                                             \
  X(exec_process, ExecProcess, 0)                                                   \
  X(wait_process, WaitProcess, 0)                                                   \
  X(wait_oom, WaitOom, 0)                                                           \
  X(signal_process, SignalProcess, 0)                                               \
  X(resize_terminal, ResizeTerminal, 0)                                             \
  X(pause_container, PauseContainer, 0)                                             \
  X(resume_container, ResumeContainer, 0)                                           \
  X(update_container, UpdateContainer, 0) X(grow_guest, GrowGuest, 0)               \
      X(container_stats, ContainerStats, 0) X(delete_container, DeleteContainer, 0) \
          X(shutdown, Shutdown, 0)
  AGENTVM_STUBS(AGENTVM_STUB)

  Task<agent::v1::CreateContainerResponse> create_container(
      CallContext& call, agent::v1::CreateContainerRequest request) override {
    called.emplace_back("CreateContainer");
    created = std::move(request);
    call.connection->on_closed([this] { connection_closed = true; });
    agent::v1::CreateContainerResponse response;
    response.set_pid(42);
    co_return response;
  }
  Task<agent::v1::ListProcessesResponse> list_processes(
      CallContext&, agent::v1::ListProcessesRequest request) override {
    called.emplace_back("ListProcesses");
    agent::v1::ListProcessesResponse response;
    const int count = request.container_id() == "many" ? 600000 : 3;
    for (int i = 0; i < count; ++i) response.add_processes();
    co_return response;
  }

  std::vector<std::string> called;
  agent::v1::CreateContainerRequest created;
  bool connection_closed = false;
};

struct AgentPair : Pair {
  AgentPair() { register_agent_service(*server, service); }
  AgentClient agent() {
    auto link = connect();
    served = std::move(link.served);
    return AgentClient(std::move(*link.client));
  }
  FakeAgent service;
  std::unique_ptr<Started<void>> served;
};

TEST(AgentClient, CarriesRequestAndResponse) {
  AgentPair pair;
  AgentClient agent = pair.agent();
  run_test(pair.io, [&]() -> Task<void> {
    agent::v1::CreateContainerRequest request;
    request.set_id("web");
    request.set_spec_json("{\"a\":\"\xff\"}");
    request.mutable_stdio()->set_stdout_stream(0xfeedfacecafebeef);
    auto pending = agent.create_container(request, kLong);
    request.Clear();  // it has been serialized
    const auto response = co_await std::move(pending);
    EXPECT_EQ(response->pid(), 42u);
    EXPECT_EQ(pair.service.created.id(), "web");
    EXPECT_EQ(pair.service.created.spec_json(), "{\"a\":\"\xff\"}");
    EXPECT_EQ(pair.service.created.stdio().stdout_stream(), 0xfeedfacecafebeef);
    EXPECT_FALSE(pair.service.connection_closed);
    agent.close();
    co_await pair.served->wait();
    EXPECT_TRUE(pair.service.connection_closed);
    co_return Result<void>{};
  }());
}

TEST(AgentClient, ReachesEveryRpcByItsName) {
  AgentPair pair;
  AgentClient agent = pair.agent();
  run_test(pair.io, [&]() -> Task<void> {
    std::vector<std::string> expected;
#define AGENTVM_CALL(name, Name, limit)                                           \
  {                                                                               \
    expected.emplace_back(#Name);                                                 \
    const auto response = co_await agent.name(agent::v1::Name##Request(), kLong); \
    EXPECT_TRUE(response || response.error().text() == #Name);                    \
  }
    AGENTVM_AGENT_METHODS(AGENTVM_CALL)
#undef AGENTVM_CALL
    EXPECT_EQ(pair.service.called, expected);
    EXPECT_EQ(expected.size(), 17u) << "as agent.proto has them";
    co_return Result<void>{};
  }());
}

TEST(AgentClient, DoesNotUnfoldAnAnswerPastItsLimit) {
  AgentPair pair;
  AgentClient agent = pair.agent();
  run_test(pair.io, [&]() -> Task<void> {
    agent::v1::ListProcessesRequest request;
    const auto few = co_await agent.list_processes(request, kLong);
    EXPECT_EQ(few->processes_size(), 3);
    request.set_container_id("many");
    const auto many = co_await agent.list_processes(request, kLong);
    EXPECT_EQ(many.error(), (Error{ErrorKind::unavailable, 0,
                                   "the agent's answer to ListProcesses is not understood"}));
    co_return Result<void>{};
  }());
}

TEST(AgentService, RefusesAPayloadThatIsNoRequest) {
  AgentPair pair;
  auto link = pair.connect();
  run_test(pair.io, [&]() -> Task<void> {
    const auto answer = co_await link.client->call(kAgentService, "Configure", "\xff\xff", kLong);
    EXPECT_EQ(answer.error(), (Error{ErrorKind::invalid_argument, 0, "not a Configure request"}));
    // A string field that is no UTF-8.
    const auto text =
        co_await link.client->call(kAgentService, "DeleteContainer", "\x0a\x01\xff", kLong);
    EXPECT_EQ(text.error().text(), "not a DeleteContainer request");
    EXPECT_TRUE(pair.service.called.empty());
    co_return Result<void>{};
  }());
}

}  // namespace
}  // namespace agentvm::rpc
