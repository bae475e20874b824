// A Docker daemon of the test's own, in a network namespace of its own, with agentvm as a runtime
// and an image "busybox"; everything is gone with the test.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/harness/container.h"
#include "tests/e2e/harness/network.h"

namespace agentvm::e2e {

class Docker : public Agentvm {
 protected:
  void SetUp() override;
  void TearDown() override;

  // `docker <arguments>` of this daemon.
  Outcome docker(const std::vector<std::string>& arguments,
                 const CommandOptions& options = {}) const;
  // `docker run --runtime agentvm <options> busybox sh -c <script>`.
  Outcome docker_run(const std::vector<std::string>& options, const std::string& script) const;
  // Its words, for Background.
  [[nodiscard]] std::vector<std::string> docker_run_command(const std::vector<std::string>& options,
                                                            const std::string& script) const;
  // The same with `--detach --name web`, which must succeed.
  void start_web(const std::string& script, std::vector<std::string> options = {}) const;
  // `docker inspect --format <format> web`.
  [[nodiscard]] std::string inspect_web(const std::string& format) const;
  // Standard output of a command that must succeed, without the last line's end.
  std::string docker_out(const std::vector<std::string>& arguments) const;
  // The runtime's log of a container that runs.
  [[nodiscard]] std::string log_of(const std::string& container) const;

  // `docker <arguments>` as words, for what runs beside the test.
  [[nodiscard]] std::vector<std::string> client(const std::vector<std::string>& arguments) const;

  // Called before the daemon starts: what a kind of daemon needs in scratch().
  virtual void prepare_daemon() {}
  void start_dockerd();
  void stop_dockerd();
  // dockerd, and with it its containerd, as after SIGKILL or a crash; their containers stay.
  void crash_dockerd();

  // What the daemon does not say itself, for when a test has failed.
  [[nodiscard]] std::string daemon_log() const { return read_file(scratch() + "/dockerd.log"); }

  // Set before SetUp(), or in prepare_daemon().
  std::string dockerd_program = "dockerd";
  std::string docker_program = "/usr/bin/docker";
  std::string program_path;                 // a directory in front of the daemon's PATH
  std::vector<std::string> daemon_options;  // "--live-restore"
  std::vector<std::string> daemon_wrapper;  // what runs the daemon: "unshare", "--mount"
  std::string runtime_name = "agentvm";
  // The daemon is in the host's network, of which it changes nothing and gives its containers
  // none: to build what needs archives outside.
  bool in_host_network = false;

  std::unique_ptr<TestNetwork> network_;

 private:
  void import_image() const;
  [[nodiscard]] std::string cgroup_parent() const;
  std::unique_ptr<Background> dockerd_;
};

}  // namespace agentvm::e2e
