// A Docker of the test's own, and `agentvm sandbox` that talks to it, with its files in scratch().
#pragma once

#include <string>
#include <vector>

#include "tests/e2e/harness/dockerd.h"

namespace agentvm::e2e {

class Sandboxes : public Docker {
 protected:
  void prepare_daemon() override;
  void TearDown() override;

  [[nodiscard]] static std::string sandbox_binary();
  [[nodiscard]] std::vector<std::string> sandbox_command(
      const std::vector<std::string>& arguments) const;
  // `agentvm sandbox <arguments>`.
  Outcome sandbox(const std::vector<std::string>& arguments,
                  const CommandOptions& options = {}) const;
  // Standard output of one that must succeed.
  std::string sandbox_out(const std::vector<std::string>& arguments) const;
  // `exec NAME sh -c SCRIPT`, which must succeed.
  std::string exec_out(const std::string& name, const std::string& script) const;

  // `run shell <workspace>` under this name, from the image busybox, in a VM of the templates'
  // size.
  [[nodiscard]] std::vector<std::string> run_words(const std::string& name) const;
  // The same for one that is there.
  [[nodiscard]] std::vector<std::string> reuse_words(const std::string& name,
                                                     const std::vector<std::string>& more) const;
  std::string run_detached(const std::string& name, const std::vector<std::string>& command) const;
  // The command in a terminal of 33 rows and 99 columns.
  [[nodiscard]] std::vector<std::string> in_terminal(
      const std::vector<std::string>& arguments) const;

  [[nodiscard]] std::string workspace() const { return scratch() + "/work"; }
  [[nodiscard]] std::string place() const { return sandboxes(); }
  [[nodiscard]] std::string run_place() const { return sandboxes() + "-run"; }

  // Of the sandbox "web".
  void copies_files() const;
  void saves_an_image() const;
};

}  // namespace agentvm::e2e
