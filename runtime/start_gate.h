// How many VMs of this host start at the same time. More than its CPUs can carry make all of them
// late, and past a point their time-outs expire: the others wait here for their turn.
#pragma once

#include <chrono>
#include <cstdint>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"

namespace agentvm::runtime {

// A place among those that start, held until the object goes or its process ends. A child that was
// forked meanwhile holds it too, until it destroys its copy.
class StartGate {
 public:
  // Waits for one of `places` (at least 1). unavailable after `patience`. A host without a
  // directory for the places (vm_host.h) has no gate: everybody passes.
  [[nodiscard]] static Result<StartGate> enter(std::uint32_t places,
                                               std::chrono::milliseconds patience);

 private:
  explicit StartGate(UniqueFd place) : place_(std::move(place)) {}
  UniqueFd place_;
};

}  // namespace agentvm::runtime
