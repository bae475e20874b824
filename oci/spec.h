// config.json of a bundle as plain values: OCI runtime-spec 1.2 (config.md, config-linux.md,
// config-vm.md). Field names are the specification's, in snake_case. std::optional and empty
// containers mean "not given". Only parse_spec() (oci/spec_parser.h) makes one from bytes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace agentvm::oci {

struct Root {
  std::string path;
  bool readonly = false;
  friend bool operator==(const Root&, const Root&) = default;
};

struct IdMapping {
  std::uint32_t container_id = 0;
  std::uint32_t host_id = 0;
  std::uint32_t size = 0;
  friend bool operator==(const IdMapping&, const IdMapping&) = default;
};

struct Mount {
  std::string destination;
  std::string type;
  std::string source;
  std::vector<std::string> options;
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;
  friend bool operator==(const Mount&, const Mount&) = default;
};

struct ConsoleSize {
  std::uint16_t height = 0;
  std::uint16_t width = 0;
  friend bool operator==(const ConsoleSize&, const ConsoleSize&) = default;
};

struct User {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::optional<std::uint32_t> umask;
  std::vector<std::uint32_t> additional_gids;
  friend bool operator==(const User&, const User&) = default;
};

// Names as in capabilities(7), "CAP_" included.
struct Capabilities {
  std::vector<std::string> bounding;
  std::vector<std::string> effective;
  std::vector<std::string> inheritable;
  std::vector<std::string> permitted;
  std::vector<std::string> ambient;
  friend bool operator==(const Capabilities&, const Capabilities&) = default;
};

struct Rlimit {
  std::string type;  // "RLIMIT_NOFILE"
  std::uint64_t hard = 0;
  std::uint64_t soft = 0;
  friend bool operator==(const Rlimit&, const Rlimit&) = default;
};

struct Scheduler {
  std::string policy;  // "SCHED_OTHER"
  std::optional<std::int32_t> nice;
  std::optional<std::int32_t> priority;
  std::vector<std::string> flags;
  std::optional<std::uint64_t> runtime;
  std::optional<std::uint64_t> deadline;
  std::optional<std::uint64_t> period;
  friend bool operator==(const Scheduler&, const Scheduler&) = default;
};

struct IoPriority {
  std::string io_class;  // "IOPRIO_CLASS_BE"
  std::int32_t priority = 0;
  friend bool operator==(const IoPriority&, const IoPriority&) = default;
};

struct ExecCpuAffinity {
  std::string initial;
  std::string final_;
  friend bool operator==(const ExecCpuAffinity&, const ExecCpuAffinity&) = default;
};

struct Process {
  bool terminal = false;
  std::optional<ConsoleSize> console_size;
  User user;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string cwd;
  std::optional<Capabilities> capabilities;
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::string apparmor_profile;
  std::string selinux_label;
  std::optional<std::int32_t> oom_score_adj;
  std::optional<Scheduler> scheduler;
  std::optional<IoPriority> io_priority;
  std::optional<ExecCpuAffinity> exec_cpu_affinity;
  friend bool operator==(const Process&, const Process&) = default;
};

struct Hook {
  std::string path;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::optional<std::int32_t> timeout_s;
  friend bool operator==(const Hook&, const Hook&) = default;
};

struct Hooks {
  std::vector<Hook> prestart;
  std::vector<Hook> create_runtime;
  std::vector<Hook> create_container;
  std::vector<Hook> start_container;
  std::vector<Hook> poststart;
  std::vector<Hook> poststop;
  friend bool operator==(const Hooks&, const Hooks&) = default;
};

enum class NamespaceType : std::uint8_t { pid, network, mount, ipc, uts, user, cgroup, time };

struct Namespace {
  NamespaceType type = NamespaceType::mount;
  std::string path;
  friend bool operator==(const Namespace&, const Namespace&) = default;
};

struct Device {
  std::string type;  // "c", "b", "u", "p"
  std::string path;
  std::int64_t major = 0;
  std::int64_t minor = 0;
  std::optional<std::uint32_t> file_mode;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
  friend bool operator==(const Device&, const Device&) = default;
};

struct DeviceRule {
  bool allow = false;
  std::string type;                   // "a" (or empty), "c", "b"
  std::optional<std::int64_t> major;  // none: any
  std::optional<std::int64_t> minor;
  std::string access;  // of "rwm"
  friend bool operator==(const DeviceRule&, const DeviceRule&) = default;
};

struct MemoryResources {  // bytes; -1 is "no limit"
  std::optional<std::int64_t> limit;
  std::optional<std::int64_t> reservation;
  std::optional<std::int64_t> swap;  // memory plus swap, as cgroup v1 counts
  std::optional<std::int64_t> kernel;
  std::optional<std::int64_t> kernel_tcp;
  std::optional<std::uint64_t> swappiness;
  std::optional<bool> disable_oom_killer;
  std::optional<bool> use_hierarchy;
  std::optional<bool> check_before_update;
  friend bool operator==(const MemoryResources&, const MemoryResources&) = default;
};

struct CpuResources {
  std::optional<std::uint64_t> shares;
  std::optional<std::int64_t> quota_us;
  std::optional<std::uint64_t> burst_us;
  std::optional<std::uint64_t> period_us;
  std::optional<std::int64_t> realtime_runtime_us;
  std::optional<std::uint64_t> realtime_period_us;
  std::string cpus;
  std::string mems;
  std::optional<std::int64_t> idle;
  friend bool operator==(const CpuResources&, const CpuResources&) = default;
};

struct WeightDevice {
  std::int64_t major = 0;
  std::int64_t minor = 0;
  std::optional<std::uint16_t> weight;
  std::optional<std::uint16_t> leaf_weight;
  friend bool operator==(const WeightDevice&, const WeightDevice&) = default;
};

struct ThrottleDevice {
  std::int64_t major = 0;
  std::int64_t minor = 0;
  std::uint64_t rate = 0;
  friend bool operator==(const ThrottleDevice&, const ThrottleDevice&) = default;
};

struct BlockIoResources {
  std::optional<std::uint16_t> weight;
  std::optional<std::uint16_t> leaf_weight;
  std::vector<WeightDevice> weight_device;
  std::vector<ThrottleDevice> throttle_read_bps_device;
  std::vector<ThrottleDevice> throttle_write_bps_device;
  std::vector<ThrottleDevice> throttle_read_iops_device;
  std::vector<ThrottleDevice> throttle_write_iops_device;
  friend bool operator==(const BlockIoResources&, const BlockIoResources&) = default;
};

struct HugepageLimit {
  std::string page_size;  // "2MB"
  std::uint64_t limit = 0;
  friend bool operator==(const HugepageLimit&, const HugepageLimit&) = default;
};

struct InterfacePriority {
  std::string name;
  std::uint32_t priority = 0;
  friend bool operator==(const InterfacePriority&, const InterfacePriority&) = default;
};

struct NetworkResources {
  std::optional<std::uint32_t> class_id;
  std::vector<InterfacePriority> priorities;
  friend bool operator==(const NetworkResources&, const NetworkResources&) = default;
};

struct RdmaLimit {
  std::optional<std::uint32_t> hca_handles;
  std::optional<std::uint32_t> hca_objects;
  friend bool operator==(const RdmaLimit&, const RdmaLimit&) = default;
};

struct Resources {
  std::vector<DeviceRule> devices;
  std::optional<MemoryResources> memory;
  std::optional<CpuResources> cpu;
  std::optional<std::int64_t> pids_limit;
  std::optional<BlockIoResources> block_io;
  std::vector<HugepageLimit> hugepage_limits;
  std::optional<NetworkResources> network;
  std::map<std::string, RdmaLimit> rdma;
  std::map<std::string, std::string> unified;  // cgroup v2 file name → what to write
  friend bool operator==(const Resources&, const Resources&) = default;
};

struct SeccompArg {
  std::uint32_t index = 0;
  std::uint64_t value = 0;
  std::uint64_t value_two = 0;
  std::string op;  // "SCMP_CMP_EQ"
  friend bool operator==(const SeccompArg&, const SeccompArg&) = default;
};

struct SeccompSyscall {
  std::vector<std::string> names;
  std::string action;  // "SCMP_ACT_ERRNO"
  std::optional<std::uint32_t> errno_ret;
  std::vector<SeccompArg> args;
  friend bool operator==(const SeccompSyscall&, const SeccompSyscall&) = default;
};

struct Seccomp {
  std::string default_action;
  std::optional<std::uint32_t> default_errno_ret;
  std::vector<std::string> architectures;  // "SCMP_ARCH_X86_64"
  std::vector<std::string> flags;
  std::string listener_path;
  std::string listener_metadata;
  std::vector<SeccompSyscall> syscalls;
  friend bool operator==(const Seccomp&, const Seccomp&) = default;
};

struct IntelRdt {
  std::string clos_id;
  std::string l3_cache_schema;
  std::string mem_bw_schema;
  bool enable_cmt = false;
  bool enable_mbm = false;
  friend bool operator==(const IntelRdt&, const IntelRdt&) = default;
};

struct Personality {
  std::string domain;  // "LINUX", "LINUX32"
  std::vector<std::string> flags;
  friend bool operator==(const Personality&, const Personality&) = default;
};

struct TimeOffset {
  std::int64_t secs = 0;
  std::uint32_t nanosecs = 0;
  friend bool operator==(const TimeOffset&, const TimeOffset&) = default;
};

struct Linux {
  std::vector<Namespace> namespaces;
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;
  std::map<std::string, TimeOffset> time_offsets;
  std::vector<Device> devices;
  std::string cgroups_path;
  std::optional<Resources> resources;
  std::optional<IntelRdt> intel_rdt;
  std::map<std::string, std::string> sysctl;
  std::optional<Seccomp> seccomp;
  std::string rootfs_propagation;
  std::vector<std::string> masked_paths;
  std::vector<std::string> readonly_paths;
  std::string mount_label;
  std::optional<Personality> personality;
  friend bool operator==(const Linux&, const Linux&) = default;
};

// config-vm.md. Honoured only where the configuration allows it (docs/compatibility.md).
struct Vm {
  std::string hypervisor_path;
  std::vector<std::string> hypervisor_parameters;
  std::string kernel_path;
  std::vector<std::string> kernel_parameters;
  std::string kernel_initrd;
  std::string image_path;
  std::string image_format;
  friend bool operator==(const Vm&, const Vm&) = default;
};

struct Spec {
  std::string oci_version;
  std::optional<Root> root;
  std::vector<Mount> mounts;
  std::optional<Process> process;
  std::string hostname;
  std::string domainname;
  Hooks hooks;
  std::map<std::string, std::string> annotations;
  std::optional<Linux> linux_;  // `linux` is a macro of GNU C++
  std::optional<Vm> vm;
  // JSON pointers of members that this version of the parser does not know ("/linux/memoryPolicy").
  // The specification wants unknown members ignored; we say which.
  std::vector<std::string> unknown_members;
  friend bool operator==(const Spec&, const Spec&) = default;
};

}  // namespace agentvm::oci
