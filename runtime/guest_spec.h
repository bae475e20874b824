// From a bundle's Spec to what the guest gets and what the host shares with it. The guest sees one
// virtiofs, tag "shared", mounted at kGuestShared: `rootfs` and `mounts/<n>` below it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "oci/base/error.h"
#include "oci/spec.h"
#include "runtime/config.h"

namespace agentvm::runtime {

inline constexpr const char* kSharedTag = "shared";
inline constexpr const char* kGuestShared = "/run/agentvm/shared";
// A pod's /dev/shm, of the guest's own memory: through virtiofs two containers would not see each
// other's pages.
inline constexpr const char* kGuestPodShm = "/run/agentvm/pod-shm";

// The refusals: what the specification or the configuration asks for and a VM cannot honour, or
// the host's administrator has not allowed. Pure. invalid_argument, with a sentence that says what
// to do instead. docs/compatibility.md is the list.
[[nodiscard]] Result<void> check_supported(const oci::Spec& spec, const Config& config);

// linux.resources for the guest's cgroup: without what the host's cgroup honours (CPUs and memory
// nodes, block I/O: their numbers are the host's) and what neither can. For create and update.
struct GuestResources {
  oci::Resources resources;
  std::vector<std::string> notes;  // what nobody honours, and why
};
[[nodiscard]] GuestResources plan_guest_resources(const oci::Resources& resources);

// A process object for the guest, of create or exec: without what names a security module of the
// host (AppArmor, SELinux), which keep a process from a kernel that this one does not run on, and
// without ambient capabilities that no kernel would raise.
struct GuestProcess {
  oci::Process process;
  std::vector<std::string> notes;
};
[[nodiscard]] GuestProcess plan_guest_process(const oci::Process& process);

enum class Propagation : std::uint8_t {
  private_,  // later mounts of the host below the source do not show up
  slave,     // they do
};

// One thing of the host that the guest may see, and no more of it than that.
struct SharedSource {
  std::string name;    // below the shared directory: "rootfs", "mounts/0"
  std::string source;  // absolute path on the host
  bool directory = true;
  bool recursive = true;  // with what is mounted below it
  bool read_only = false;
  Propagation propagation = Propagation::slave;
  friend bool operator==(const SharedSource&, const SharedSource&) = default;
};

// A place in a read-only rootfs that the guest will mount on: made, where missing, before the
// rootfs becomes read-only.
struct MountPoint {
  std::string path;  // in the container
  bool directory = true;
  friend bool operator==(const MountPoint&, const MountPoint&) = default;
};

struct SharePlan {
  std::vector<SharedSource> sources;  // rootfs first
  std::vector<MountPoint> mount_points;
  oci::Spec guest_spec;                        // what CreateContainer sends
  std::optional<std::uint64_t> pod_shm_bytes;  // its /dev/shm is the pod's, so large; 0: unlimited
  std::vector<std::string> notes;              // what was left out and why: for the log
};

// Where a container's share is in the guest, and what of the host's the pod has one of its own for.
struct SharePlace {
  std::string guest_directory = kGuestShared;
  std::string pod_shm;  // "": nothing
};

// Looks at the sources (they must exist; sockets, devices and fifos are refused) but changes
// nothing. `bundle` is absolute; relative sources and root.path are taken from there. Only for a
// spec that check_supported() let pass.
[[nodiscard]] Result<SharePlan> plan_share(const oci::Spec& spec, const std::string& bundle,
                                           const SharePlace& place = {});

// The tmpfs of the host that a sandbox has at its /dev/shm, "" when it has none or the host's own.
[[nodiscard]] std::string find_pod_shm(const oci::Spec& spec, const std::string& bundle);

// Makes the shared directory: a small read-only tmpfs on the existing directory `dir` with every
// source bound below it (nodev, nosuid), without the kernel's own file systems (proc, sysfs, …)
// that a recursive bind would bring along. To be called in a mount namespace of the caller's own
// whose "/" is a slave or private: failed_precondition where mounts would show up on the host.
// On failure nothing stays mounted.
[[nodiscard]] Result<void> apply_share(const SharePlan& plan, const std::string& dir);
// Unmounts `dir` with everything below, lazily; fine when nothing is mounted there.
[[nodiscard]] Result<void> undo_share(const std::string& dir);

}  // namespace agentvm::runtime
