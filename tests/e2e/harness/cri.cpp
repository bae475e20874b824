#include "tests/e2e/harness/cri.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <sstream>

namespace agentvm::e2e {

namespace {

constexpr const char* kImage = "docker.io/library/busybox:test";
constexpr std::size_t kGrpcPrefix = 5;  // whether it is compressed, and the length

// gRPC over HTTP/2: a message is a byte 0, its length in network order, and itself.
std::string frame(const std::string& message) {
  std::string bytes(kGrpcPrefix, '\0');
  for (std::size_t i = 0; i < 4; ++i) {
    bytes[1 + i] = static_cast<char>(message.size() >> (24 - 8 * i) & 0xff);
  }
  return bytes + message;
}

std::string header(const std::string& headers, const std::string& name) {
  std::istringstream lines(headers);
  std::string value;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(name + ": ")) continue;
    value = line.substr(name.size() + 2);
    if (value.ends_with('\r')) value.pop_back();
  }
  return value;
}

std::string configuration(const std::string& scratch) {
  return fmt::format(
      "[plugins.\"io.containerd.grpc.v1.cri\"]\n"
      "sandbox_image = \"{1}\"\n"
      "stream_server_address = \"127.0.0.1\"\n"
      "disable_apparmor = true\n"
      "restrict_oom_score_adj = true\n"
      "[plugins.\"io.containerd.grpc.v1.cri\".cni]\n"
      "bin_dir = \"/usr/lib/cni\"\n"
      "conf_dir = \"{0}/cni\"\n"
      "[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n"
      "default_runtime_name = \"agentvm\"\n"
      "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.agentvm]\n"
      "runtime_type = \"io.containerd.agentvm.v2\"\n"
      "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.agentvm.options]\n"
      "TypeUrl = \"runtimeoptions.v1.Options\"\n"
      "ConfigPath = \"{0}/config.toml\"\n",
      scratch, kImage);
}

}  // namespace

Cri::Cri() : namespace_name_(fmt::format("agentvm-cri-{}", ::getpid())) {
  name_space = "k8s.io";
  network_namespace = "/run/netns/" + namespace_name_;
}

Cri::~Cri() {
  (void)run_command({"ip", "netns", "delete", namespace_name_});
}

void Cri::make_network() {
  ASSERT_EQ(run_command({"ip", "netns", "add", namespace_name_}).status, 0);
  ASSERT_EQ(run_command({"ip", "-n", namespace_name_, "link", "set", "lo", "up"}).status, 0);
  std::filesystem::create_directories(scratch() + "/cni");
  write_file(scratch() + "/cni/10-pods.conflist",
             fmt::format(R"({{"cniVersion": "0.4.0", "name": "pods", "plugins": [{{)"
                         R"("type": "bridge", "bridge": "pods0", "isGateway": true, )"
                         R"("ipam": {{"type": "host-local", "dataDir": "{}/ipam", )"
                         R"("ranges": [[{{"subnet": "10.99.0.0/24"}}]], )"
                         R"("routes": [{{"dst": "0.0.0.0/0"}}]}}}}]}})",
                         scratch()));
}

void Cri::SetUp() {
  Agentvm::SetUp();
  if (HasFatalFailure()) return;
  make_network();
  if (HasFatalFailure()) return;
  plugins = configuration(scratch());
  start_with_image();
  if (HasFatalFailure()) return;
  cri::ImageStatusRequest request;
  request.mutable_image()->set_image(kImage);
  ASSERT_TRUE(eventually([&] {
    const auto status = call<cri::ImageStatusResponse>("ImageService/ImageStatus", request);
    return status && status->has_image();
  })) << "the CRI plugin does not see the image";
}

void Cri::TearDown() {
  const auto pods = call<cri::ListPodSandboxResponse>("RuntimeService/ListPodSandbox",
                                                      cri::ListPodSandboxRequest());
  if (pods) {
    for (const auto& pod : pods->items()) {
      stop_pod(pod.id());
      remove_pod(pod.id());
    }
  }
  end_containerd();
  EXPECT_EQ(run_command({"ip", "netns", "delete", namespace_name_}).status, 0);
  Agentvm::TearDown();
}

Result<std::string> Cri::call_bytes(const char* method, const std::string& request) const {
  const std::string files = scratch() + "/call";
  write_file(files + ".request", frame(request));
  const Outcome called =
      run_command({"curl", "--silent", "--show-error", "--http2-prior-knowledge", "--unix-socket",
                   scratch() + "/c.sock", "--header", "content-type: application/grpc", "--header",
                   "te: trailers", "--data-binary", "@" + files + ".request", "--dump-header",
                   files + ".headers", "--output", files + ".answer",
                   std::string("http://localhost/runtime.v1.") + method});
  if (called.status != 0) return fail(ErrorKind::unavailable, called.err);
  const std::string headers = read_file(files + ".headers");
  if (header(headers, "grpc-status") != "0") {
    return fail(ErrorKind::internal, header(headers, "grpc-message"));
  }
  const std::string answer = read_file(files + ".answer");
  return answer.size() < kGrpcPrefix ? "" : answer.substr(kGrpcPrefix);
}

cri::PodSandboxConfig Cri::make_pod(const std::string& name) const {
  cri::PodSandboxConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_metadata()->set_uid("uid-" + name);
  config.mutable_metadata()->set_namespace_("default");
  config.set_hostname(name);
  config.set_log_directory(scratch() + "/logs");
  // As the kubelet: a cgroup for the pod, a pid namespace for each container.
  config.mutable_linux_config()->set_cgroup_parent(fmt::format("/agentvm-cri-{}", ::getpid()));
  auto& options =
      *config.mutable_linux_config()->mutable_security_context()->mutable_namespace_options();
  options.set_pid(cri::CONTAINER);
  return config;
}

std::string Cri::run_pod(const cri::PodSandboxConfig& config) const {
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = config;
  return ask_cri<cri::RunPodSandboxResponse>("RuntimeService/RunPodSandbox", request)
      .pod_sandbox_id();
}

cri::ContainerConfig Cri::make_container(const std::string& name, const std::string& script) const {
  cri::ContainerConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_image()->set_image(kImage);
  for (const std::string& word : Bundle::shell(script)) config.add_command(word);
  config.set_log_path(name + ".log");
  config.mutable_linux_config()->mutable_security_context()->mutable_namespace_options()->set_pid(
      cri::CONTAINER);
  return config;
}

std::string Cri::create(const std::string& pod, const cri::PodSandboxConfig& pod_config,
                        const cri::ContainerConfig& config) const {
  cri::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod);
  *request.mutable_config() = config;
  *request.mutable_sandbox_config() = pod_config;
  return ask_cri<cri::CreateContainerResponse>("RuntimeService/CreateContainer", request)
      .container_id();
}

void Cri::start(const std::string& container) const {
  cri::StartContainerRequest request;
  request.set_container_id(container);
  (void)ask_cri<cri::StartContainerResponse>("RuntimeService/StartContainer", request);
}

void Cri::stop(const std::string& container, int timeout_s) const {
  cri::StopContainerRequest request;
  request.set_container_id(container);
  request.set_timeout(timeout_s);
  (void)ask_cri<cri::StopContainerResponse>("RuntimeService/StopContainer", request);
}

void Cri::remove(const std::string& container) const {
  cri::RemoveContainerRequest request;
  request.set_container_id(container);
  (void)ask_cri<cri::RemoveContainerResponse>("RuntimeService/RemoveContainer", request);
}

void Cri::stop_pod(const std::string& pod) const {
  cri::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(pod);
  (void)ask_cri<cri::StopPodSandboxResponse>("RuntimeService/StopPodSandbox", request);
}

void Cri::remove_pod(const std::string& pod) const {
  cri::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(pod);
  (void)ask_cri<cri::RemovePodSandboxResponse>("RuntimeService/RemovePodSandbox", request);
}

cri::ContainerStatus Cri::status(const std::string& container) const {
  cri::ContainerStatusRequest request;
  request.set_container_id(container);
  return ask_cri<cri::ContainerStatusResponse>("RuntimeService/ContainerStatus", request).status();
}

std::string Cri::pod_ip(const std::string& pod) const {
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod);
  return ask_cri<cri::PodSandboxStatusResponse>("RuntimeService/PodSandboxStatus", request)
      .status()
      .network()
      .ip();
}

cri::ExecSyncResponse Cri::exec_sync(const std::string& container,
                                     const std::string& script) const {
  cri::ExecSyncRequest request;
  request.set_container_id(container);
  for (const std::string& word : Bundle::shell(script)) request.add_cmd(word);
  return ask_cri<cri::ExecSyncResponse>("RuntimeService/ExecSync", request);
}

std::string Cri::log_of(const std::string& name) const {
  return read_file(scratch() + "/logs/" + name + ".log");
}

}  // namespace agentvm::e2e
