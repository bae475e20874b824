// A container on this host for the launch tests: a root with busybox in a directory of its own, a
// cgroup, and a spec much like Docker's. The test process is its agent and reaps.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "guest-agent/launch.h"
#include "oci/base/async.h"
#include "oci/spec.h"

namespace agentvm::guest {

struct Ran {
  Result<void> launched;  // the error of create or start
  std::string out;        // stdout and stderr
  int wait_status = -1;

  [[nodiscard]] int exit_code() const;
  [[nodiscard]] std::string error() const;  // "" when it went well
};

class LaunchContainer {
 public:
  LaunchContainer();
  LaunchContainer(const LaunchContainer&) = delete;
  LaunchContainer& operator=(const LaunchContainer&) = delete;
  // Kills what is left, reaps everything, and checks that no mount of this host has changed.
  ~LaunchContainer();

  oci::Spec spec;
  std::vector<JoinedNamespace> joined;  // of the next run

  [[nodiscard]] const std::string& root() const { return root_; }
  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] const std::string& cgroup() const { return cgroup_; }

  // Below the root, with the directories it needs.
  void write(const std::string& path, const std::string& text, mode_t mode = 0644) const;
  void make_directory(const std::string& path, mode_t mode = 0755) const;
  [[nodiscard]] bool exists(const std::string& path) const;
  oci::Mount& add_mount(std::string type, std::string source, std::string destination,
                        std::vector<std::string> options);
  oci::Namespace& add_namespace(oci::NamespaceType type);
  void drop_namespace(oci::NamespaceType type);
  void use_user_namespace(std::uint32_t first = 100000);

  // Runs `script` with the container's sh to its end.
  Ran run(const std::string& script);
  // Runs spec.process as it is.
  Ran run_process();

  // Starts init with `script`, which must not end by itself; execs go in.
  void start(const std::string& script = "exec sleep 1000");
  [[nodiscard]] oci::Process shell(const std::string& script) const;
  Ran exec(oci::Process process);
  [[nodiscard]] pid_t init_pid() const { return init_pid_; }
  // Ends what start() began.
  void stop();

 private:
  // As the host hands it over with the spec.
  [[nodiscard]] std::shared_ptr<const oci::SeccompFilter> seccomp() const;

  Ran finish(Result<std::unique_ptr<Launched>> launched, int output);

  std::string directory_;
  std::string root_;
  std::string cgroup_;
  std::string mounts_before_;
  asio::io_context io_;
  std::unique_ptr<Launched> init_;
  pid_t init_pid_ = 0;
};

}  // namespace agentvm::guest
