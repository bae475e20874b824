// The shipped agent binary on this host (--serve-unix), in a mount namespace of its own, and a
// client of it. Containers run from a root file system with busybox alone.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "rpc/agent_client.h"
#include "test_cgroup.h"

namespace agentvm::guest {

inline constexpr std::chrono::milliseconds kCall{60000};

class AgentTest : public CgroupTest {
 protected:
  void SetUp() override;
  void TearDown() override;

  // One more connection to the agent.
  std::unique_ptr<rpc::AgentClient> connect();
  // A stream that the agent has taken; blocking.
  UniqueFd open_stream(std::uint64_t id);
  // Runs a call to its answer.
  template <class T>
  Result<T> call(Task<T> task) {
    io_.restart();
    return run_to_end(io_, std::move(task));
  }

  Result<void> configure();
  // config.json of `arguments`, with `process_extra` in its process ("\"terminal\": true,").
  std::string spec(const std::vector<std::string>& arguments,
                   const std::string& process_extra = "") const;
  static std::string process(const std::vector<std::string>& arguments,
                             const std::string& process_extra = "");
  // By the connection agent_.
  Result<agent::v1::CreateContainerResponse> create(const std::string& id, const std::string& json,
                                                    const agent::v1::Stdio& stdio = {});
  Result<void> start(const std::string& id);
  Result<agent::v1::ExecProcessResponse> exec(rpc::AgentClient& client, const std::string& id,
                                              const std::string& exec_id, const std::string& json,
                                              const agent::v1::Stdio& stdio = {});
  // "exit 3", "signal 9", or the error.
  std::string wait(const std::string& id, const std::string& exec_id = "");
  std::string signal(const std::string& id, const std::string& exec_id, std::uint32_t signal,
                     bool all = false);
  Result<void> erase(const std::string& id);

  static std::string read_to_end(const UniqueFd& stream);

  std::string directory_;
  std::string rootfs_;
  asio::io_context io_;
  std::unique_ptr<rpc::AgentClient> agent_;
  pid_t agent_pid_ = -1;
};

}  // namespace agentvm::guest
