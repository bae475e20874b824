// The agent's side of a launch: hears what the child reports and lets it go.
#pragma once

#include <memory>
#include <string>

#include "guest-agent/launch.h"
#include "guest-agent/launch/clone.h"
#include "guest-agent/launch/report.h"
#include "oci/base/unique_fd.h"
#include "oci/spec.h"

namespace agentvm::guest {

class LaunchedProcess final : public Launched {
 public:
  // `hook_state` is the file that the child reads the state document from; none: no hooks.
  LaunchedProcess(Cloned child, UniqueFd socket, UniqueFd hook_state, oci::Process process,
                  bool exec);
  ~LaunchedProcess() override;

  // Right after the clone: what the child needs from outside, and its first go_on.
  [[nodiscard]] Result<void> begin(const oci::Spec& spec);
  // Until the child stands right before execve(2).
  [[nodiscard]] Task<void> wait_until_ready();

  [[nodiscard]] pid_t pid() const override { return child_.pid; }
  [[nodiscard]] UniqueFd take_terminal() override { return std::move(terminal_); }
  Task<void> start(std::string state_json) override;

 private:
  struct Heard {
    bool ended = false;
    Report report{};
  };
  Task<Heard> hear();
  Result<void> send_go() const;
  Result<void> write_state(const std::string& state_json) const;

  Cloned child_;
  UniqueFd socket_;
  UniqueFd hook_state_;
  UniqueFd terminal_;
  oci::Process process_;
  bool exec_;
  bool started_ = false;
};

}  // namespace agentvm::guest
