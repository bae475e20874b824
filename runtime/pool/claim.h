// Taking a VM that waits, for one container.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"
#include "runtime/cgroup_record.h"
#include "runtime/config.h"
#include "runtime/state_dir.h"
#include "vmm/machine.h"

namespace agentvm::runtime {

// The VM goes when the last copy of the socket is closed.
struct ClaimedVm {
  std::string place;    // in the pool: for the container's record
  UniqueFd socket;      // to the process that holds it
  CgroupRecord cgroup;  // of its processes, until they are moved into the container's
};

// Takes one for a machine as plan_machine() made it: from now on the sockets of its vsock are in
// `container`. Nothing when none waits, which never fails; what the user should know is logged.
[[nodiscard]] std::optional<ClaimedVm> claim_vm(const Config& config,
                                                const vmm::MachineConfig& machine,
                                                const StateDir& container);

// Shows the guest what is mounted on `shared_dir`, as the directory kPoolShare of its share, and
// returns the VM as a machine. The caller's mount namespace keeps its mounts.
[[nodiscard]] Task<std::unique_ptr<vmm::LiveMachine>> take_over(UniqueFd socket,
                                                                const std::string& shared_dir,
                                                                std::chrono::milliseconds timeout);

}  // namespace agentvm::runtime
