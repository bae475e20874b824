// What is known of a container between two commands: the record in its state directory. The
// document is ours alone (no other program reads it), but it is read with the checked reader: a
// damaged file is an error that names the member, never a wrong kill.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/error.h"
#include "oci/spec.h"
#include "oci/state.h"
#include "runtime/cgroup_record.h"

namespace agentvm::runtime {

using oci::Status;

// A process for good: the pid alone is reused. pid 0 is no process.
struct ProcessRef {
  pid_t pid = 0;
  std::uint64_t start_time = 0;  // sys::process_start_time
  friend bool operator==(const ProcessRef&, const ProcessRef&) = default;
};

// `pid` as it is now. not_found when there is none.
[[nodiscard]] Result<ProcessRef> refer_to_process(pid_t pid);
// Whether it is that very process and has not exited (a zombie has).
[[nodiscard]] bool is_alive(const ProcessRef& process);

struct ExecRecord {
  std::string id;
  ProcessRef stand_in;
  friend bool operator==(const ExecRecord&, const ExecRecord&) = default;
};

// As wait(2): signal 0 means it exited by itself.
struct InitExit {
  std::uint32_t code = 0;
  std::uint32_t signal = 0;
  friend bool operator==(const InitExit&, const InitExit&) = default;
};

struct VmRecord {
  std::uint32_t vcpus = 0;  // what it has now, like memory_mib
  std::uint64_t memory_mib = 0;
  std::string accelerator;
  std::string kernel;
  std::uint32_t max_vcpus = 0;  // what it can grow to
  std::uint64_t max_memory_mib = 0;
  friend bool operator==(const VmRecord&, const VmRecord&) = default;
};

// How much of a pod's VM one of its containers may use, by its limits; 0: it has none.
struct PodDemand {
  std::uint64_t cpu_millis = 0;  // thousandths of a CPU
  std::uint64_t memory_mib = 0;
  friend bool operator==(const PodDemand&, const PodDemand&) = default;
};

// Of a container that lives in the VM of another one (runtime/pod.h).
struct Membership {
  std::string sandbox;  // that one's id, below the same root
  ProcessRef monitor;   // and its monitor: another sandbox may get the id later
  PodDemand demand;
  friend bool operator==(const Membership&, const Membership&) = default;
};

// The container's own disk (runtime/disks/).
struct DiskRecord {
  std::string path;  // of its image
  std::uint64_t size_mib = 0;
  bool lasting = false;  // it stays when the container is deleted
  friend bool operator==(const DiskRecord&, const DiskRecord&) = default;
};

// What a container that is bound to an agent sandbox's policy has changed on the host, for whoever
// cleans up after its monitor (runtime/egress/).
struct EgressRecord {
  std::string sandbox;         // its name
  std::string control_socket;  // of its gateway
  // Whether the namespace forwarded packets before.
  bool forwarded_ipv4 = false;
  bool forwarded_ipv6 = false;
  friend bool operator==(const EgressRecord&, const EgressRecord&) = default;
};

struct ContainerRecord {
  std::string id;
  std::string oci_version;
  std::string bundle;  // absolute
  std::string rootfs;  // absolute
  std::map<std::string, std::string> annotations;
  std::string created;                // RFC 3339, UTC
  std::string owner;                  // user name (or uid) of who created it
  std::string config_path;            // the configuration file in use, "" for none
  Status status = Status::creating;   // as last stored; see effective_status()
  ProcessRef creator;                 // the process of `create`, which answers for status creating
  ProcessRef monitor;                 // the stand-in; its pid is the container's pid on the host
  std::optional<InitExit> init_exit;  // once stopped, when it is known
  CgroupRecord cgroup;                // what host_cgroup made
  VmRecord vm;
  std::optional<DiskRecord> disk;
  std::optional<EgressRecord> egress;
  std::string network_namespace;  // the path that the bundle named, "" for one of our own
  std::string pool_place;  // of a VM that waited: its place (runtime/pool/), to be removed too
  std::optional<Membership> membership;
  std::string pod_shm;  // of a sandbox: the host's directory that its pod has the guest's own for
  std::vector<ExecRecord> execs;
  std::vector<oci::Hook> poststart_hooks;
  std::vector<oci::Hook> poststop_hooks;
  friend bool operator==(const ContainerRecord&, const ContainerRecord&) = default;
};

// A record that says creating, created, running or paused while the process that answers for it
// (creator, later the monitor) is gone is stopped.
[[nodiscard]] Status effective_status(const ContainerRecord& record);

// Bytes ⇄ record. Unknown members are refused: another version wrote them. At most
// kMaxRecordBytes.
inline constexpr std::size_t kMaxRecordBytes = std::size_t{1} << 20;
[[nodiscard]] std::string write_record(const ContainerRecord& record);
[[nodiscard]] Result<ContainerRecord> parse_record(std::string_view json);

// RFC 3339 with nanoseconds in UTC, as runc writes `created`.
[[nodiscard]] std::string make_timestamp();

}  // namespace agentvm::runtime
