#include "agent_harness.h"

#include <endian.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

constexpr const char* kBusybox = "/bin/busybox";

std::string json_list(const std::vector<std::string>& words) {
  std::vector<std::string> quoted;
  for (const std::string& word : words) quoted.push_back('"' + word + '"');
  return fmt::format("[{}]", fmt::join(quoted, ","));
}

void wait_for_socket(const std::string& directory, pid_t agent) {
  for (int tries = 0; tries < 3000; ++tries) {
    auto fd = sys::open_at(AT_FDCWD, directory, O_PATH | O_DIRECTORY);
    if (fd && sys::connect_unix_at(fd->get(), "1025")) return;
    if (::waitpid(agent, nullptr, WNOHANG) == agent) break;
    ::usleep(10000);  // the binary announces nothing that a test could wait for
  }
  FAIL() << "the agent does not listen";
}

}  // namespace

void AgentTest::SetUp() {
  CgroupTest::SetUp();
  if (IsSkipped() || HasFatalFailure()) return;
  if (::access(kBusybox, X_OK) != 0) GTEST_SKIP() << "needs " << kBusybox;
  directory_ = testing::TempDir() + "agentvm-agent-" + std::to_string(::getpid());
  rootfs_ = directory_ + "/rootfs";
  for (const char* name : {"/rootfs/bin", "/rootfs/proc", "/rootfs/dev", "/rootfs/tmp"}) {
    std::filesystem::create_directories(directory_ + name);
  }
  std::filesystem::copy_file(kBusybox, rootfs_ + "/bin/busybox");
  std::filesystem::create_symlink("busybox", rootfs_ + "/bin/sh");
  agent_pid_ = ::fork();
  if (agent_pid_ == 0) {
    if (::unshare(CLONE_NEWNS) != 0) ::_exit(98);
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) ::_exit(97);
    ::execl(AGENT_BINARY, AGENT_BINARY, "--serve-unix", directory_.c_str(), "--cgroup",
            root_.c_str(), nullptr);
    ::_exit(99);
  }
  wait_for_socket(directory_, agent_pid_);
  agent_ = connect();
}

void AgentTest::TearDown() {
  agent_.reset();
  if (agent_pid_ > 0) {
    ::kill(agent_pid_, SIGKILL);
    ::waitpid(agent_pid_, nullptr, 0);
  }
  if (!directory_.empty()) std::filesystem::remove_all(directory_);
  CgroupTest::TearDown();
}

std::unique_ptr<rpc::AgentClient> AgentTest::connect() {
  auto directory = sys::open_at(AT_FDCWD, directory_, O_PATH | O_DIRECTORY);
  auto socket = sys::connect_unix_at(directory->get(), "1024");
  EXPECT_TRUE(socket.has_value()) << socket.error().text();
  auto client = rpc::Client::create(io_.get_executor(), *std::move(socket));
  EXPECT_TRUE(client.has_value());
  return std::make_unique<rpc::AgentClient>(*std::move(client));
}

UniqueFd AgentTest::open_stream(std::uint64_t id) {
  auto directory = sys::open_at(AT_FDCWD, directory_, O_PATH | O_DIRECTORY);
  auto socket = sys::connect_unix_at(directory->get(), "1025");
  EXPECT_TRUE(socket.has_value());
  const std::uint64_t wire = htole64(id);
  std::string bytes(sizeof wire, '\0');
  std::memcpy(bytes.data(), &wire, sizeof wire);
  EXPECT_TRUE(sys::write_all(socket->get(), bytes).has_value());
  char answer = 0;
  EXPECT_EQ(::recv(socket->get(), &answer, 1, 0), 1);
  EXPECT_EQ(answer, 1);
  return *std::move(socket);
}

Result<void> AgentTest::configure() {
  agent::v1::ConfigureRequest request;
  auto done = call(agent_->configure(request, kCall));
  if (!done) return std::unexpected(done.error());
  return {};
}

std::string AgentTest::process(const std::vector<std::string>& arguments,
                               const std::string& process_extra) {
  return fmt::format(R"({{{} "user": {{"uid": 0, "gid": 0}}, "cwd": "/",
      "env": ["PATH=/bin"], "args": {}}})",
                     process_extra, json_list(arguments));
}

std::string AgentTest::spec(const std::vector<std::string>& arguments,
                            const std::string& process_extra) const {
  return fmt::format(R"({{"ociVersion": "1.2.0", "root": {{"path": "{}"}},
      "process": {},
      "mounts": [{{"destination": "/proc", "type": "proc", "source": "proc"}},
                 {{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}},
                 {{"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                   "options": ["newinstance", "ptmxmode=0666"]}}],
      "linux": {{"namespaces": [{{"type": "pid"}}, {{"type": "mount"}}, {{"type": "ipc"}},
                                {{"type": "uts"}}, {{"type": "cgroup"}}]}}}})",
                     rootfs_, process(arguments, process_extra));
}

Result<agent::v1::CreateContainerResponse> AgentTest::create(const std::string& id,
                                                             const std::string& json,
                                                             const agent::v1::Stdio& stdio) {
  agent::v1::CreateContainerRequest request;
  request.set_id(id);
  request.set_spec_json(json);
  *request.mutable_stdio() = stdio;
  return call(agent_->create_container(request, kCall));
}

Result<void> AgentTest::start(const std::string& id) {
  agent::v1::StartContainerRequest request;
  request.set_id(id);
  request.set_state_json("{}");
  auto started = call(agent_->start_container(request, kCall));
  if (!started) return std::unexpected(started.error());
  return {};
}

Result<agent::v1::ExecProcessResponse> AgentTest::exec(rpc::AgentClient& client,
                                                       const std::string& id,
                                                       const std::string& exec_id,
                                                       const std::string& json,
                                                       const agent::v1::Stdio& stdio) {
  agent::v1::ExecProcessRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  request.set_process_json(json);
  *request.mutable_stdio() = stdio;
  return call(client.exec_process(request, kCall));
}

std::string AgentTest::wait(const std::string& id, const std::string& exec_id) {
  agent::v1::WaitProcessRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  const auto status = call(agent_->wait_process(request, kCall));
  if (!status) return status.error().text();
  if (status->signal() != 0) return fmt::format("signal {}", status->signal());
  return fmt::format("exit {}", status->exit_code());
}

std::string AgentTest::signal(const std::string& id, const std::string& exec_id,
                              std::uint32_t number, bool all) {
  agent::v1::SignalProcessRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  request.set_signal(number);
  request.set_all(all);
  const auto sent = call(agent_->signal_process(request, kCall));
  return sent ? "sent" : sent.error().text();
}

Result<void> AgentTest::erase(const std::string& id) {
  agent::v1::DeleteContainerRequest request;
  request.set_container_id(id);
  auto erased = call(agent_->delete_container(request, kCall));
  if (!erased) return std::unexpected(erased.error());
  return {};
}

std::string AgentTest::read_to_end(const UniqueFd& stream) {
  return sys::read_all(stream.get(), std::size_t{256} << 20).value_or("error");
}

}  // namespace agentvm::guest
