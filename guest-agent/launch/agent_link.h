// The child's end of the conversation with the agent (report.h).
#pragma once

#include "guest-agent/launch/report.h"
#include "oci/base/error.h"
#include "oci/base/unique_fd.h"

namespace agentvm::guest {

class AgentLink {
 public:
  explicit AgentLink(UniqueFd socket) : socket_(std::move(socket)) {}

  [[nodiscard]] int fd() const { return socket_.get(); }

  // Blocks until the agent says so. An error when the agent has given up on this child.
  [[nodiscard]] Result<void> wait_for_go() const;

  [[nodiscard]] Result<void> send_terminal(int master) const;
  // With write(2): what is most likely allowed by the container's seccomp profile.
  [[nodiscard]] Result<void> send(ReportKind kind) const;
  [[noreturn]] void fail_and_exit(const Error& error) const;

 private:
  UniqueFd socket_;
};

}  // namespace agentvm::guest
