// The members of config-linux.md, one list per struct (json_fields.h).
#pragma once

#include <algorithm>
#include <limits>
#include <ranges>

#include "oci/base/json_fields.h"
#include "oci/spec.h"
#include "oci/spec_checks.h"
#include "oci/spec_words.h"

namespace agentvm::oci {

// ---- linux.resources ----

void json_fields(auto& io, Like<DeviceRule> auto& rule) {
  io.required("allow", rule.allow);
  io.optional("type", rule.type, check::OneOfOrNone{device_rule_types()});
  io.optional("major", rule.major, check::kRuleMajor);
  io.optional("minor", rule.minor, check::kRuleMinor);
  io.optional("access", rule.access, check::device_access);
}

void json_fields(auto& io, Like<MemoryResources> auto& memory) {
  io.optional("limit", memory.limit, check::kBytes);
  io.optional("reservation", memory.reservation, check::kBytes);
  io.optional("swap", memory.swap, check::kBytes);
  io.optional("kernel", memory.kernel, check::kBytes);
  io.optional("kernelTCP", memory.kernel_tcp, check::kBytes);
  io.optional("swappiness", memory.swappiness, check::Between{0, 100});
  io.optional("disableOOMKiller", memory.disable_oom_killer);
  io.optional("useHierarchy", memory.use_hierarchy);
  io.optional("checkBeforeUpdate", memory.check_before_update);
}

void json_fields(auto& io, Like<CpuResources> auto& cpu) {
  io.optional("shares", cpu.shares);
  io.optional("quota", cpu.quota_us);
  io.optional("burst", cpu.burst_us);
  io.optional("period", cpu.period_us);
  io.optional("realtimeRuntime", cpu.realtime_runtime_us);
  io.optional("realtimePeriod", cpu.realtime_period_us);
  io.optional("cpus", cpu.cpus, check::cpu_list);
  io.optional("mems", cpu.mems, check::cpu_list);
  io.optional("idle", cpu.idle, check::Between{0, 1});
  const std::int64_t quota = cpu.quota_us.value_or(0);
  io.ensure(quota <= 0 || std::cmp_less_equal(cpu.burst_us.value_or(0), quota), "burst",
            "must not be above quota");
}

void json_fields(auto& io, Like<WeightDevice> auto& device) {
  io.required("major", device.major, check::kMajor);
  io.required("minor", device.minor, check::kMinor);
  io.optional("weight", device.weight, check::block_weight);
  io.optional("leafWeight", device.leaf_weight, check::block_weight);
  io.ensure(device.weight || device.leaf_weight, "", "needs weight or leafWeight");
}

void json_fields(auto& io, Like<ThrottleDevice> auto& device) {
  io.required("major", device.major, check::kMajor);
  io.required("minor", device.minor, check::kMinor);
  io.required("rate", device.rate);
}

void json_fields(auto& io, Like<BlockIoResources> auto& block) {
  io.optional("weight", block.weight, check::block_weight);
  io.optional("leafWeight", block.leaf_weight, check::block_weight);
  io.optional("weightDevice", block.weight_device);
  io.optional("throttleReadBpsDevice", block.throttle_read_bps_device);
  io.optional("throttleWriteBpsDevice", block.throttle_write_bps_device);
  io.optional("throttleReadIOPSDevice", block.throttle_read_iops_device);
  io.optional("throttleWriteIOPSDevice", block.throttle_write_iops_device);
}

void json_fields(auto& io, Like<HugepageLimit> auto& limit) {
  io.required("pageSize", limit.page_size, check::page_size);
  io.required("limit", limit.limit);
}

void json_fields(auto& io, Like<InterfacePriority> auto& priority) {
  io.required("name", priority.name, check::not_empty);
  io.required("priority", priority.priority);
}

void json_fields(auto& io, Like<NetworkResources> auto& network) {
  io.optional("classID", network.class_id);
  io.optional("priorities", network.priorities);
}

void json_fields(auto& io, Like<RdmaLimit> auto& limit) {
  io.optional("hcaHandles", limit.hca_handles);
  io.optional("hcaObjects", limit.hca_objects);
  io.ensure(limit.hca_handles || limit.hca_objects, "", "needs hcaHandles or hcaObjects");
}

void json_fields(auto& io, Like<Resources> auto& resources) {
  io.optional("devices", resources.devices);
  io.optional("memory", resources.memory);
  io.optional("cpu", resources.cpu);
  io.object("pids", resources.pids_limit.has_value(),
            [&resources](auto& pids) { pids.required("limit", resources.pids_limit); });
  io.optional("blockIO", resources.block_io);
  io.optional("hugepageLimits", resources.hugepage_limits);
  io.optional("network", resources.network);
  io.optional("rdma", resources.rdma);
  io.optional("unified", resources.unified, check::cgroup_files);
}

// ---- linux.seccomp ----

void json_fields(auto& io, Like<SeccompArg> auto& arg) {
  io.required("index", arg.index, check::Between{0, 5});
  io.required("value", arg.value);
  io.optional("valueTwo", arg.value_two);
  io.required("op", arg.op, check::OneOf{seccomp_operators()});
}

// The other actions have no place for a number, and the specification wants an error.
inline bool takes_errno(std::string_view action) {
  return action == "SCMP_ACT_ERRNO" || action == "SCMP_ACT_TRACE";
}
inline constexpr std::string_view kNoErrno = "only for SCMP_ACT_ERRNO and SCMP_ACT_TRACE";
inline constexpr check::Between kErrno{0, 0xffff};  // what libseccomp keeps of it

void json_fields(auto& io, Like<SeccompSyscall> auto& rule) {
  io.required("names", rule.names, check::at_least_one);
  io.required("action", rule.action, check::OneOf{seccomp_actions()});
  io.optional("errnoRet", rule.errno_ret, kErrno);
  io.optional("args", rule.args);
  io.ensure(!rule.errno_ret || takes_errno(rule.action), "errnoRet", kNoErrno);
}

void json_fields(auto& io, Like<Seccomp> auto& seccomp) {
  io.required("defaultAction", seccomp.default_action, check::OneOf{seccomp_actions()});
  io.optional("defaultErrnoRet", seccomp.default_errno_ret, kErrno);
  io.optional("architectures", seccomp.architectures, check::OneOf{seccomp_archs()});
  io.optional("flags", seccomp.flags, check::OneOf{seccomp_flags()});
  io.optional("listenerPath", seccomp.listener_path);
  io.optional("listenerMetadata", seccomp.listener_metadata);
  io.optional("syscalls", seccomp.syscalls);
  io.ensure(!seccomp.default_errno_ret || takes_errno(seccomp.default_action), "defaultErrnoRet",
            kNoErrno);
  io.ensure(seccomp.listener_metadata.empty() || !seccomp.listener_path.empty(), "listenerMetadata",
            "needs listenerPath");
}

// ---- the rest of linux ----

void json_fields(auto& io, Like<IdMapping> auto& mapping) {
  io.required("containerID", mapping.container_id);
  io.required("hostID", mapping.host_id);
  io.required("size", mapping.size, check::Between{1, 0xffff'ffff});
  const auto room =
      std::numeric_limits<std::uint32_t>::max() - std::max(mapping.container_id, mapping.host_id);
  io.ensure(mapping.size <= room, "size", "goes past the last id");
}

void json_fields(auto& io, Like<Namespace> auto& ns) {
  io.required("type", ns.type);
  io.optional("path", ns.path, check::absolute_path_or_none);
}

void json_fields(auto& io, Like<Device> auto& device) {
  io.required("type", device.type, check::OneOf{device_types()});
  io.required("path", device.path, check::absolute_path);
  if (device.type == "p") {  // a FIFO has no numbers
    io.optional("major", device.major, check::kMajor);
    io.optional("minor", device.minor, check::kMinor);
  } else {
    io.required("major", device.major, check::kMajor);
    io.required("minor", device.minor, check::kMinor);
  }
  io.optional("fileMode", device.file_mode, check::Between{0, 0177777});
  io.optional("uid", device.uid);
  io.optional("gid", device.gid);
}

void json_fields(auto& io, Like<IntelRdt> auto& rdt) {
  io.optional("closID", rdt.clos_id, check::clos_id);
  io.optional("l3CacheSchema", rdt.l3_cache_schema);
  io.optional("memBwSchema", rdt.mem_bw_schema, check::memory_schema);
  io.optional("enableCMT", rdt.enable_cmt);
  io.optional("enableMBM", rdt.enable_mbm);
}

void json_fields(auto& io, Like<Personality> auto& personality) {
  io.required("domain", personality.domain, check::OneOf{personality_domains()});
  io.optional("flags", personality.flags, check::no_flags);
}

void json_fields(auto& io, Like<TimeOffset> auto& offset) {
  io.optional("secs", offset.secs);
  io.optional("nanosecs", offset.nanosecs, check::Between{0, 999'999'999});
}

inline bool has_duplicate_type(const std::vector<Namespace>& namespaces) {
  std::uint32_t seen = 0;
  for (const Namespace& ns : namespaces) {
    const std::uint32_t bit = 1U << static_cast<unsigned>(ns.type);
    if ((seen & bit) != 0) return true;
    seen |= bit;
  }
  return false;
}

void json_fields(auto& io, Like<Linux> auto& linux_) {
  io.optional("uidMappings", linux_.uid_mappings);
  io.optional("gidMappings", linux_.gid_mappings);
  io.optional("sysctl", linux_.sysctl, check::sysctl_names);
  io.optional("resources", linux_.resources);
  io.optional("cgroupsPath", linux_.cgroups_path, check::cgroups_path);
  io.optional("namespaces", linux_.namespaces);
  io.ensure(!has_duplicate_type(linux_.namespaces), "namespaces", "a type is given twice");
  io.optional("devices", linux_.devices);
  io.optional("seccomp", linux_.seccomp);
  io.optional("rootfsPropagation", linux_.rootfs_propagation,
              check::OneOfOrNone{rootfs_propagations()});
  io.optional("maskedPaths", linux_.masked_paths, check::absolute_path);
  io.optional("readonlyPaths", linux_.readonly_paths, check::absolute_path);
  io.optional("mountLabel", linux_.mount_label);
  io.optional("intelRdt", linux_.intel_rdt);
  io.optional("personality", linux_.personality);
  io.optional("timeOffsets", linux_.time_offsets, check::clocks);
}

}  // namespace agentvm::oci
