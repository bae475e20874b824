// All that `create` decided about a container, handed through fork(2) to the process that stands in
// for it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "oci/seccomp_filter.h"
#include "oci/spec.h"
#include "runtime/config.h"
#include "runtime/console.h"
#include "runtime/disks/plan.h"
#include "runtime/egress/binding.h"
#include "runtime/guest_spec.h"
#include "runtime/machine_config.h"
#include "runtime/pod.h"
#include "runtime/pool/claim.h"
#include "runtime/start_gate.h"
#include "runtime/state_dir.h"
#include "runtime/timings.h"
#include "runtime/vm_size.h"
#include "vmm/template/store.h"

namespace agentvm::runtime {

// Of any container, whoever's its VM is.
struct StandInPlan {
  StateDir* dir = nullptr;  // borrowed; the lock is taken where the record changes
  oci::Spec spec;           // of the bundle
  SharePlan share;
  std::optional<oci::SeccompFilter> seccomp;
  Config config;
  // The terminal of the container: the slave of the pty whose master went to --console-socket, or
  // (foreground) a duplicate of the caller's own terminal, raw by now.
  UniqueFd terminal;
  bool own_terminal = false;  // the slave of our own pty: becomes the controlling terminal
  Timings timings;            // of the stand-in, told with "created"
  bool foreground = false;    // `run`: the log may go on to the caller's stderr
};

struct MonitorPlan : StandInPlan {
  bool takes_members = false;  // a pod's sandbox
  oci::Resources resources;    // what the VM and its cgroup on the host are sized by
  VmSize size;
  PlannedMachine machine;
  std::optional<DiskPlan> disk;
  UniqueFd disk_image;  // the creator's copy is closed before anybody else could have it
  std::optional<ClaimedVm> claimed;             // the VM, if one waited in the pool
  std::optional<vmm::OpenTemplate> saved;       // what the VM is restored from; nothing: it boots
  std::optional<StartGate> gate;                // the creator's, not the monitor's
  std::optional<SandboxBinding> agent_sandbox;  // whose policy its network is bound to
};

// Of a container that lives in a sandbox's VM.
struct MemberPlan : StandInPlan {
  StateDir* sandbox = nullptr;  // borrowed
  ProcessRef sandbox_monitor;
  std::vector<PodNamespace> namespaces;
  std::string share_name;  // in the sandbox's share (pod_share.h)
};

}  // namespace agentvm::runtime
