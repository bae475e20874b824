// Docker's resolver for a guest. It answers on 127.0.0.11 of the container's network namespace,
// which no packet of the guest reaches: the guest's agent takes what is sent to that address there
// and calls Names.Resolve (rpc/agent.proto) on a stream that the host opened to it.
#pragma once

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"

namespace agentvm::runtime {

// Serves the stream until it ends. Messages go to the resolver of the calling process's network
// namespace and nowhere else; a guest has 64 of them under way at most.
[[nodiscard]] Task<void> serve_names(UniqueFd stream);

}  // namespace agentvm::runtime
