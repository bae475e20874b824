// Pods by Kubernetes' interface: a containerd of the test's own with its CRI plugin, in a network
// namespace of its own, where Debian's CNI plugins make a bridge; and a client of that interface,
// made of curl, which speaks HTTP/2 over a unix socket as gRPC does.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/e2e/harness/containerd.h"
#include "tests/e2e/harness/cri.pb.h"

namespace agentvm::e2e {

namespace cri = ::runtime::v1;

class Cri : public Containerd {
 protected:
  Cri();
  ~Cri() override;
  void SetUp() override;
  // Removes the pods that the test left, then as Containerd.
  void TearDown() override;

  // One call; the error is the server's own sentence.
  template <class Response>
  [[nodiscard]] Result<Response> call(const char* method,
                                      const google::protobuf::MessageLite& request) const {
    auto bytes = call_bytes(method, rpc::serialize(request));
    if (!bytes) return std::unexpected(bytes.error());
    Response response;
    if (!rpc::deserialize(*bytes, response)) {
      return fail(ErrorKind::internal, std::string(method) + ": no such answer");
    }
    return response;
  }

  // The answer, or a failure of the test.
  template <class Response>
  Response ask_cri(const char* method, const google::protobuf::MessageLite& request) const {
    auto answer = call<Response>(method, request);
    EXPECT_TRUE(answer.has_value()) << method << ": " << answer.error().text();
    return answer ? *answer : Response();
  }

  [[nodiscard]] cri::PodSandboxConfig make_pod(const std::string& name) const;
  [[nodiscard]] std::string run_pod(const cri::PodSandboxConfig& config) const;
  // That runs `script`; its log is `name`.log in the pod's directory.
  [[nodiscard]] cri::ContainerConfig make_container(const std::string& name,
                                                    const std::string& script) const;
  [[nodiscard]] std::string create(const std::string& pod, const cri::PodSandboxConfig& pod_config,
                                   const cri::ContainerConfig& config) const;
  void start(const std::string& container) const;
  void stop(const std::string& container, int timeout_s) const;
  void remove(const std::string& container) const;
  void stop_pod(const std::string& pod) const;
  void remove_pod(const std::string& pod) const;
  [[nodiscard]] cri::ContainerStatus status(const std::string& container) const;
  [[nodiscard]] bool has_exited(const std::string& container) const {
    return status(container).state() == cri::CONTAINER_EXITED;
  }
  [[nodiscard]] std::string pod_ip(const std::string& pod) const;
  [[nodiscard]] cri::ExecSyncResponse exec_sync(const std::string& container,
                                                const std::string& script) const;
  // What the container `name` has written.
  [[nodiscard]] std::string log_of(const std::string& name) const;

 private:
  [[nodiscard]] Result<std::string> call_bytes(const char* method,
                                               const std::string& request) const;
  void make_network();

  std::string namespace_name_;
};

}  // namespace agentvm::e2e
