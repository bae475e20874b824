// Podman with storage, state and networks of the test's own, in a network namespace of its own,
// with agentvm as a runtime and an image "busybox"; everything is gone with the test.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/harness/container.h"
#include "tests/e2e/harness/network.h"

namespace agentvm::e2e {

class Podman : public Agentvm {
 protected:
  void SetUp() override;
  void TearDown() override;

  // `podman --runtime agentvm <arguments>`, as words and run to its end.
  [[nodiscard]] std::vector<std::string> podman_command(
      const std::vector<std::string>& arguments) const;
  Outcome podman(const std::vector<std::string>& arguments,
                 const CommandOptions& options = {}) const;
  // `podman run <options> busybox sh -c <script>`.
  Outcome podman_run(const std::vector<std::string>& options, const std::string& script) const;
  // Standard output of a command that must succeed, without the last line's end.
  std::string podman_out(const std::vector<std::string>& arguments) const;

  std::unique_ptr<TestNetwork> network_;

 private:
  void configure_podman() const;
};

}  // namespace agentvm::e2e
