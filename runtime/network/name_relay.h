// Docker's resolver for a guest. It answers on 127.0.0.11 of the container's network namespace,
// which no packet of the guest reaches: the guest's agent takes what is sent to that address there
// and calls Names.Resolve (rpc/agent.proto) on a stream that the host opened to it.
#pragma once

#include <cstdint>
#include <string>

#include "oci/base/async.h"
#include "runtime/session/guest_link.h"

namespace agentvm::runtime {

// Who is asked, in the calling process's network namespace.
struct NameServer {
  std::string address;  // IPv4
  std::uint16_t udp_port = 0;
  std::uint16_t tcp_port = 0;
};

// Docker's own.
[[nodiscard]] NameServer docker_resolver();

// The stream of names, open and served until it ends: its id, for SetNetwork. Messages go to
// `server` and nowhere else; a guest has 64 of them under way at most.
[[nodiscard]] Task<std::uint64_t> open_names(GuestLink link, NameServer server);

}  // namespace agentvm::runtime
