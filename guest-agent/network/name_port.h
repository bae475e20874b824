// Port 53 of the container's resolver without anybody on it: a server of the container's own may
// have that port on every address, as it can under runc.
#pragma once

#include <cstdint>
#include <vector>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"

namespace agentvm::guest {

// While it lives, what programs of the guest send to 127.0.0.11, port 53, arrives at another port
// of that address, and answers from there seem to come from 53. For sockets of the caller's network
// namespace alone, of IPv4 and of IPv6 with mapped addresses, TCP and UDP. Programs are attached to
// a cgroup version 2, bpf(2), BPF_PROG_TYPE_CGROUP_SOCK_ADDR.
class NamePort {
 public:
  // `cgroup`: the topmost directory whose processes are meant.
  [[nodiscard]] static Result<NamePort> create(const char* cgroup, std::uint16_t port);
  ~NamePort();
  NamePort(NamePort&&) = default;
  NamePort& operator=(NamePort&&) = delete;

 private:
  explicit NamePort(UniqueFd cgroup) : cgroup_(std::move(cgroup)) {}
  UniqueFd cgroup_;
  std::vector<UniqueFd> programs_;  // as many of kHooks, in their order, as are attached
};

}  // namespace agentvm::guest
