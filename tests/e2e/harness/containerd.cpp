#include "tests/e2e/harness/containerd.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "oci/base/sys.h"
#include "rpc/client.h"

namespace agentvm::e2e {

namespace fs = std::filesystem;

namespace {

constexpr const char* kImage = "docker.io/library/busybox:test";

}  // namespace

void Containerd::SetUp() {
  Agentvm::SetUp();
  if (!HasFatalFailure()) start_with_image();
}

void Containerd::start_with_image() {
  write_file(
      scratch() + "/containerd.toml",
      fmt::format("version = 2\n"
                  "root = \"{0}/c-root\"\n"
                  "state = \"{0}/c-state\"\n"
                  "{1}"
                  "[grpc]\n"
                  "address = \"{0}/c.sock\"\n"
                  "[debug]\n"
                  "level = \"debug\"\n"
                  "{2}",
                  scratch(),
                  plugins.empty() ? "disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n" : "",
                  plugins));
  start_containerd();
  if (ctr({"plugins", "ls"}).out.find("overlayfs                linux/amd64    ok") ==
      std::string::npos) {
    snapshotter = "native";
  }
  import_image();
}

void Containerd::TearDown() {
  end_containerd();
  Agentvm::TearDown();
}

void Containerd::end_containerd() {
  if (containerd_) {
    std::istringstream tasks(ctr({"task", "ls", "-q"}).out);
    for (std::string id; std::getline(tasks, id);) (void)ctr({"task", "delete", "--force", id});
    std::istringstream ids(ctr({"container", "ls", "-q"}).out);
    for (std::string id; std::getline(ids, id);) (void)ctr({"container", "rm", id});
    if (HasFailure()) {
      ADD_FAILURE() << run_command({"tail", "-n", "30", scratch() + "/containerd.log"}).out;
    }
    kill_containerd(SIGTERM);
  }
}

void Containerd::start_containerd() {
  CommandOptions options;
  options.file_output = true;
  options.environment = {"PATH=" + fs::path(shim_binary()).parent_path().string() + ":" +
                         ::getenv("PATH")};
  std::vector<std::string> argv{
      "/bin/sh", "-c", "exec \"$1\" -c \"$0/containerd.toml\" >>\"$0/containerd.log\" 2>&1",
      scratch(), containerd_program};
  // Not `ip netns exec`, which hides the cgroups.
  if (!network_namespace.empty()) {
    argv.insert(argv.begin(), {"nsenter", "--net=" + network_namespace});
  }
  containerd_ = std::make_unique<Background>(argv, options);
  ASSERT_TRUE(eventually([this] { return ctr({"version"}).status == 0; }))
      << "containerd is silent";
}

void Containerd::kill_containerd(int signal) {
  containerd_->send(signal);
  (void)containerd_->wait(std::chrono::seconds(20));
  containerd_.reset();
}

// A docker-archive with the root file system of a Bundle as its only layer.
void Containerd::import_image() const {
  const Bundle bundle(Bundle::shell("true"));
  const std::string image = scratch() + "/image";
  fs::create_directories(image);
  ASSERT_EQ(run_command({"tar", "-C", bundle.rootfs(), "-cf", image + "/layer.tar", "."}).status,
            0);
  const std::string digest = run_command({"sha256sum", image + "/layer.tar"}).out.substr(0, 64);
  write_file(
      image + "/config.json",
      fmt::format(
          R"({{"architecture":"amd64","os":"linux","config":{{"Cmd":["/bin/sleep","1000000"],)"
          R"("Env":["PATH=/bin"]}},"rootfs":{{"type":"layers",)"
          R"("diff_ids":["sha256:{}"]}}}})",
          digest));
  write_file(image + "/manifest.json",
             R"([{"Config":"config.json","RepoTags":["busybox:test"],"Layers":["layer.tar"]}])");
  ASSERT_EQ(run_command({"tar", "-C", image, "-cf", scratch() + "/image.tar", "manifest.json",
                         "config.json", "layer.tar"})
                .status,
            0);
  const Outcome imported =
      ctr({"image", "import", "--snapshotter", snapshotter, scratch() + "/image.tar"});
  ASSERT_EQ(imported.status, 0) << imported.err;
}

std::vector<std::string> Containerd::ctr_command(const std::vector<std::string>& arguments) const {
  std::vector<std::string> argv{ctr_program, "-a", scratch() + "/c.sock", "-n", name_space};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return argv;
}

Outcome Containerd::ctr(const std::vector<std::string>& arguments,
                        const CommandOptions& options) const {
  return run_command(ctr_command(arguments), options);
}

std::vector<std::string> Containerd::run_arguments(const std::vector<std::string>& flags,
                                                   const std::string& id,
                                                   const std::vector<std::string>& args) const {
  std::vector<std::string> all{"run", "--runtime", "io.containerd.agentvm.v2"};
  all.insert(all.end(), {"--runtime-config-path", scratch() + "/config.toml"});
  all.insert(all.end(), {"--snapshotter", snapshotter, "--fifo-dir", scratch() + "/fifo"});
  all.insert(all.end(), flags.begin(), flags.end());
  all.insert(all.end(), {kImage, id});
  all.insert(all.end(), args.begin(), args.end());
  return all;
}

Outcome Containerd::ctr_run(const std::vector<std::string>& flags, const std::string& id,
                            const std::vector<std::string>& args,
                            const CommandOptions& options) const {
  return ctr(run_arguments(flags, id, args), options);
}

void Containerd::run_detached(const std::string& id, const std::string& script,
                              const std::vector<std::string>& flags) const {
  std::vector<std::string> all{"--detach"};
  all.insert(all.end(), flags.begin(), flags.end());
  const Outcome started = ctr_run(all, id, Bundle::shell(script));
  ASSERT_EQ(started.status, 0) << started.err;
}

Outcome Containerd::exec(const std::string& id, const std::vector<std::string>& args,
                         const CommandOptions& options) const {
  static int count = 0;
  std::vector<std::string> all{"task",
                               "exec",
                               "--fifo-dir",
                               scratch() + "/fifo",
                               "--exec-id",
                               fmt::format("exec{}", ++count),
                               id};
  all.insert(all.end(), args.begin(), args.end());
  return ctr(all, options);
}

std::string Containerd::task_status(const std::string& id) const {
  std::istringstream lines(ctr({"task", "ls"}).out);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string task;
    std::string pid;
    std::string status;
    if (words >> task >> pid >> status && task == id) return status;
  }
  return "";
}

void Containerd::wait_for_task(const std::string& id, const std::string& wanted) const {
  EXPECT_TRUE(eventually([&] { return task_status(id) == wanted; }))
      << "task '" << id << "' is '" << task_status(id) << "', not " << wanted;
}

int Containerd::delete_task(const std::string& id) const {
  const Outcome deleted = ctr({"task", "delete", id});
  EXPECT_EQ(deleted.status, 0) << deleted.err;
  constexpr std::string_view kTold = "exit with non-zero exit code ";
  const std::size_t at = deleted.err.find(kTold);
  return at == std::string::npos ? 0 : std::atoi(deleted.err.c_str() + at + kTold.size());
}

pid_t Containerd::task_pid(const std::string& id) const {
  std::istringstream lines(ctr({"task", "ls"}).out);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string task;
    pid_t pid = 0;
    if (words >> task >> pid && task == id) return pid;
  }
  return kNobody;
}

pid_t Containerd::shim_pid(const std::string& id) const {
  const int pid = std::atoi(read_file(bundle_of(id) + "/shim.pid").c_str());
  return pid > 0 ? pid : kNobody;
}

std::vector<pid_t> Containerd::parts_of(const std::string& id, const std::string& name) const {
  std::vector<pid_t> family{task_pid(id)};
  std::vector<pid_t> found;
  for (std::size_t at = 0; at < family.size(); ++at) {
    std::ifstream children(fmt::format("/proc/{0}/task/{0}/children", family[at]));
    for (pid_t child = 0; children >> child;) {
      family.push_back(child);
      if (read_file(fmt::format("/proc/{}/comm", child)).starts_with(name)) found.push_back(child);
    }
  }
  return found;
}

std::string Containerd::bundle_of(const std::string& id) const {
  return fmt::format("{}/c-state/io.containerd.runtime.v2.task/{}/{}", scratch(), name_space, id);
}

Result<std::string> Containerd::ask(const std::string& id, const std::string& method,
                                    const std::string& payload, const std::string& service) const {
  const fs::path socket(
      read_file(bundle_of(id) + "/address").substr(std::string("unix://").size()));
  auto directory = sys::open_at(AT_FDCWD, socket.parent_path().string(), O_PATH | O_DIRECTORY);
  if (!directory) return std::unexpected(directory.error());
  auto connection = sys::connect_unix_at(directory->get(), socket.filename().string());
  if (!connection) return std::unexpected(connection.error());
  asio::io_context io(1);
  auto client = rpc::Client::create(io.get_executor(), std::move(*connection));
  if (!client) return std::unexpected(client.error());
  return run_to_end<std::string>(io,
                                 client->call(service, method, payload, std::chrono::seconds(60)));
}

}  // namespace agentvm::e2e
