// All that `create` decided about a container, handed to its monitor through fork(2).
#pragma once

#include <optional>
#include <string>

#include "oci/seccomp_filter.h"
#include "oci/spec.h"
#include "runtime/config.h"
#include "runtime/console.h"
#include "runtime/guest_spec.h"
#include "runtime/machine_config.h"
#include "runtime/pool/claim.h"
#include "runtime/start_gate.h"
#include "runtime/state_dir.h"
#include "runtime/timings.h"
#include "runtime/vm_size.h"
#include "vmm/template/store.h"

namespace agentvm::runtime {

struct MonitorPlan {
  StateDir* dir = nullptr;  // borrowed; the lock is taken where the record changes
  oci::Spec spec;           // of the bundle
  SharePlan share;
  std::optional<oci::SeccompFilter> seccomp;
  Config config;
  VmSize size;
  PlannedMachine machine;
  std::optional<ClaimedVm> claimed;        // the VM, if one waited in the pool
  std::optional<vmm::OpenTemplate> saved;  // what the VM is restored from; nothing: it boots
  std::optional<StartGate> gate;           // the creator's, not the monitor's
  // The terminal of the container: the slave of the pty whose master went to --console-socket, or
  // (foreground) a duplicate of the caller's own terminal, raw by now.
  UniqueFd terminal;
  bool own_terminal = false;  // the slave of our own pty: becomes the controlling terminal
  Timings timings;            // of the monitor, told with "created"
  bool foreground = false;    // `run`: the log may go on to the caller's stderr
};

}  // namespace agentvm::runtime
