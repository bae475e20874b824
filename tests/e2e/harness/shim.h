// A test of the shim: its requests, and what its answers are compared with.
#pragma once

#include <string>

#include "rpc/containerd/task.pb.h"
#include "tests/e2e/harness/containerd.h"

namespace agentvm::e2e {

class Shim : public Containerd {
 protected:
  template <class Message>
  static Message about(const std::string& id) {
    Message message;
    message.set_id(id);
    return message;
  }
  template <class Message>
  static Message about(const std::string& id, const std::string& exec_id) {
    Message message = about<Message>(id);
    message.set_exec_id(exec_id);
    return message;
  }
  void expect_refused(const Result<std::string>& answer, ErrorKind kind, const std::string& text) {
    ASSERT_FALSE(answer) << "not refused: " << text;
    EXPECT_EQ(answer.error().kind, kind) << answer.error().text();
    EXPECT_THAT(answer.error().text(), testing::HasSubstr(text));
  }
  // Adds an exec that is not started.
  Result<std::string> add_exec(const std::string& id, const std::string& exec_id,
                               const std::string& command) {
    auto message = about<containerd::task::v2::ExecProcessRequest>(id, exec_id);
    message.mutable_spec()->set_type_url(
        "types.containerd.io/opencontainers/runtime-spec/1/Process");
    message.mutable_spec()->set_value(
        R"({"user":{"uid":0,"gid":0},"cwd":"/","env":["PATH=/bin"],"args":["/bin/sh","-c",")" +
        command + "\"]}");
    return request(id, "Exec", message);
  }
  std::uint32_t wait_exec(const std::string& id, const std::string& exec_id) {
    const auto answer = request(id, "Wait", about<containerd::task::v2::WaitRequest>(id, exec_id));
    EXPECT_TRUE(answer) << answer.error().text();
    containerd::task::v2::WaitResponse response;
    EXPECT_TRUE(answer && rpc::deserialize(*answer, response));
    return response.exit_status();
  }
};

// Runs until TERM, which it answers with 9.
inline constexpr const char* kUntilTerm = "trap 'exit 9' TERM; while :; do sleep 0.1; done";

}  // namespace agentvm::e2e
