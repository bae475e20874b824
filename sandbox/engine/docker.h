// The user's Docker, by its API over the unix socket (Docker Engine API 1.41 and newer; the newest
// that both sides know is spoken). Containers are named by id or name. Docker's answers are read
// with limits, and its words end up in our errors.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"
#include "sandbox/engine/http.h"

namespace agentvm::sandbox {

// "1.43" as {1, 43}.
struct ApiVersion {
  unsigned major = 0;
  unsigned minor = 0;
  friend auto operator<=>(const ApiVersion&, const ApiVersion&) = default;
};
[[nodiscard]] Result<ApiVersion> parse_api_version(std::string_view text);

struct PublishedPort {
  std::string container;  // "8080/tcp"
  std::string host_ip;
  std::string host_port;
  friend bool operator==(const PublishedPort&, const PublishedPort&) = default;
};

struct ContainerView {
  std::string id;  // 64 digits
  std::string name;
  std::string image;   // as it was named at create
  std::string status;  // created, running, paused, restarting, removing, exited, dead
  int exit_status = 0;
  bool tty = false;
  std::map<std::string, std::string> labels;
  std::vector<PublishedPort> ports;
  [[nodiscard]] bool runs() const { return status == "running" || status == "paused"; }
};

struct ImageView {
  std::string id;
  std::vector<std::string> entrypoint;
  std::vector<std::string> command;
  std::string user;
  std::string directory;
};

struct ExecOrder {
  std::vector<std::string> command;
  std::vector<std::string> environment;
  std::string user;       // "": the container's
  std::string directory;  // "": the container's
  bool tty = false;
  bool input = false;
  bool detach = false;
};

struct LogOrder {
  bool follow = false;
  std::string tail = "all";
  bool timestamps = false;
};

struct EngineInfo {
  std::string version;  // "20.10.24"
  std::string storage;  // "overlay2"
  std::uint64_t memory = 0;
  unsigned cpus = 0;
  std::vector<std::string> runtimes;
};

// One message of a pull's progress.
struct PullStep {
  std::string layer;
  std::string status;
  std::uint64_t current = 0;
  std::uint64_t total = 0;
};

class Docker {
 public:
  using Sink = std::function<bool(std::string_view)>;

  // DOCKER_HOST's socket, else /var/run/docker.sock. `host`: as DOCKER_HOST, "" for that.
  // unavailable says what to do: no daemon, no permission, a DOCKER_HOST that is no unix socket.
  [[nodiscard]] static Result<Docker> connect(const std::string& host = "");

  [[nodiscard]] const std::string& socket() const { return http_.path(); }
  [[nodiscard]] ApiVersion version() const { return version_; }
  [[nodiscard]] Result<EngineInfo> info() const;

  // `json` is the whole request (container_request.h). The new container's id.
  [[nodiscard]] Result<std::string> create(const std::string& name, const std::string& json) const;
  [[nodiscard]] Result<void> start(const std::string& id) const;
  [[nodiscard]] Result<void> stop(const std::string& id, unsigned seconds) const;
  [[nodiscard]] Result<void> kill(const std::string& id, const std::string& signal) const;
  // With force also one that runs; its anonymous volumes too. One that is not there is not_found.
  [[nodiscard]] Result<void> remove(const std::string& id, bool force) const;
  // Blocks until it has ended; its exit status.
  [[nodiscard]] Result<int> wait(const std::string& id) const;
  [[nodiscard]] Result<ContainerView> inspect(const std::string& id) const;
  [[nodiscard]] Result<std::string> inspect_json(const std::string& id) const;
  // Those with the label, whatever its value, running or not.
  [[nodiscard]] Result<std::vector<ContainerView>> list(const std::string& label) const;
  [[nodiscard]] Result<std::string> stats_json(const std::string& id) const;

  // The stream of what the container writes, and of its input where `input`. Without a terminal it
  // has frames (frames.h).
  [[nodiscard]] Result<UniqueFd> attach(const std::string& id, bool input) const;
  [[nodiscard]] Result<void> resize(const std::string& id, unsigned rows, unsigned columns) const;
  [[nodiscard]] Result<void> logs(const std::string& id, const LogOrder& order, Sink sink) const;

  [[nodiscard]] Result<std::string> create_exec(const std::string& id,
                                                const ExecOrder& order) const;
  [[nodiscard]] Result<UniqueFd> start_exec(const std::string& exec, bool tty) const;
  [[nodiscard]] Result<void> start_exec_detached(const std::string& exec) const;
  [[nodiscard]] Result<void> resize_exec(const std::string& exec, unsigned rows,
                                         unsigned columns) const;
  // Nothing while it runs.
  [[nodiscard]] Result<std::optional<int>> exec_status(const std::string& exec) const;

  [[nodiscard]] Result<ImageView> inspect_image(const std::string& image) const;
  [[nodiscard]] Result<std::vector<std::string>> image_names() const;
  [[nodiscard]] Result<void> pull(const std::string& image,
                                  const std::function<void(const PullStep&)>& progress) const;
  // `config` is a container's Config as JSON: what it has comes before the container's. The image's
  // id.
  [[nodiscard]] Result<std::string> commit(const std::string& id, const std::string& image,
                                           const std::string& config) const;

  // A file or directory of the container as a tar archive, and the other way around: `directory`
  // must be there.
  [[nodiscard]] Result<void> copy_out(const std::string& id, const std::string& path,
                                      Sink sink) const;
  [[nodiscard]] Result<void> copy_in(const std::string& id, const std::string& directory,
                                     int archive) const;

 private:
  Docker(HttpSocket http, ApiVersion version) : http_(std::move(http)), version_(version) {}
  [[nodiscard]] std::string path(std::string_view rest) const;
  // Answers of 2xx and 304; others as errors in Docker's words.
  [[nodiscard]] Result<std::string> call(HttpRequest request) const;
  [[nodiscard]] Result<std::string> get(std::string_view rest) const;
  [[nodiscard]] Result<std::string> post(std::string_view rest, std::string json = {}) const;
  [[nodiscard]] Result<UniqueFd> stream(std::string_view rest, const std::string& json) const;

  HttpSocket http_;
  ApiVersion version_;
};

}  // namespace agentvm::sandbox
