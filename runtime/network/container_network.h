// What a container's guest has for a network. Either its namespace's interfaces are its own
// (guest_network.h), or its only way out is an agent sandbox's gateway (runtime/egress/).
#pragma once

#include "oci/base/async.h"

namespace agentvm::runtime {

class ContainerNetwork {
 public:
  ContainerNetwork() = default;
  virtual ~ContainerNetwork() = default;
  ContainerNetwork(const ContainerNetwork&) = delete;
  ContainerNetwork& operator=(const ContainerNetwork&) = delete;

  // The guest has it, as of what is in the namespace now. Once. After a failure: part().
  [[nodiscard]] virtual Task<void> attach() = 0;

  // After attach(), until the event loop ends: what changes is carried out or logged.
  [[nodiscard]] virtual asio::awaitable<void> follow() = 0;

  // The namespace is as it was, for good. The guest is not told. Any number of times.
  virtual void part() = 0;
};

}  // namespace agentvm::runtime
