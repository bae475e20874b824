// A containerd of a test's own, with the build tree's shim, and what its users do with it: `ctr`,
// and requests to the shim's socket that ctr would not send.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "oci/base/error.h"
#include "rpc/payload.h"
#include "tests/e2e/harness/container.h"

namespace agentvm::e2e {

class Containerd : public Agentvm {
 protected:
  // With the image imported.
  void SetUp() override;
  // Ends the tasks that the test left, and containerd.
  void TearDown() override;

  // SetUp() after Agentvm's.
  void start_with_image();
  // TearDown() before Agentvm's.
  void end_containerd();
  void start_containerd();
  void kill_containerd(int signal);

  // `ctr -a … <arguments>`.
  [[nodiscard]] std::vector<std::string> ctr_command(
      const std::vector<std::string>& arguments) const;
  Outcome ctr(const std::vector<std::string>& arguments, const CommandOptions& options = {}) const;
  // `ctr run <flags> … <id> <args>` with the image and agentvm.
  [[nodiscard]] std::vector<std::string> run_arguments(const std::vector<std::string>& flags,
                                                       const std::string& id,
                                                       const std::vector<std::string>& args) const;
  Outcome ctr_run(const std::vector<std::string>& flags, const std::string& id,
                  const std::vector<std::string>& args, const CommandOptions& options = {}) const;
  // A container that runs `script` in the background.
  void run_detached(const std::string& id, const std::string& script,
                    const std::vector<std::string>& flags = {}) const;
  Outcome exec(const std::string& id, const std::vector<std::string>& args,
               const CommandOptions& options = {}) const;

  // "RUNNING", as `ctr task ls` says; "" when there is no task.
  [[nodiscard]] std::string task_status(const std::string& id) const;
  void wait_for_task(const std::string& id, const std::string& wanted) const;
  // Deletes it; the exit status that containerd has of it.
  [[nodiscard]] int delete_task(const std::string& id) const;
  [[nodiscard]] pid_t task_pid(const std::string& id) const;
  [[nodiscard]] pid_t shim_pid(const std::string& id) const;
  // Descendants of the container's stand-in by the start of their name: "qemu-system".
  [[nodiscard]] std::vector<pid_t> parts_of(const std::string& id, const std::string& name) const;
  [[nodiscard]] std::string bundle_of(const std::string& id) const;

  // One request to the shim of `id`, in the bytes of its message.
  [[nodiscard]] Result<std::string> ask(
      const std::string& id, const std::string& method, const std::string& payload,
      const std::string& service = "containerd.task.v2.Task") const;
  template <class Request>
  [[nodiscard]] Result<std::string> request(const std::string& id, const std::string& method,
                                            const Request& message) const {
    return ask(id, method, rpc::serialize(message));
  }

  std::string snapshotter = "overlayfs";
  // Set before SetUp().
  std::string containerd_program = "containerd";
  std::string ctr_program = "ctr";
  std::string name_space = "default";
  std::string plugins;            // of its configuration; empty: without the CRI plugin
  std::string network_namespace;  // the path of the one that it runs in; empty: the host's

 private:
  void import_image() const;
  std::unique_ptr<Background> containerd_;
};

}  // namespace agentvm::e2e
