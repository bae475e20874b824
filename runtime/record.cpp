#include "runtime/record.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <span>

#include "oci/base/json_reader.h"
#include "oci/base/json_writer.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

constexpr std::array<JsonWord<CgroupDriver>, 2> kDrivers{
    {{"cgroupfs", CgroupDriver::cgroupfs}, {"systemd", CgroupDriver::systemd}}};

std::string_view is_pid(pid_t pid) {
  return pid < 0 ? "must not be negative" : "";
}

// A path that the record names is opened, killed in or removed: it must say exactly what it names.
std::string_view is_plain_path(const std::string& path) {
  if (!path.starts_with('/')) return "must be an absolute path";
  if ((path + "/").find("/../") != std::string::npos) return "must not contain '..'";
  return "";
}

}  // namespace

std::span<const JsonWord<CgroupDriver>> json_words(CgroupDriver) {
  return kDrivers;
}

void json_fields(auto& io, Like<CgroupDir> auto& dir) {
  io.required("hierarchy", dir.hierarchy, is_plain_path);
  io.required("path", dir.path, is_plain_path);
  io.optional("v2", dir.v2);
  io.optional("controllers", dir.controllers);
  io.optional("madeParents", dir.made_parents, is_plain_path);
}

void json_fields(auto& io, Like<CgroupRecord> auto& cgroup) {
  io.required("driver", cgroup.driver);
  io.optional("unit", cgroup.unit);
  io.required("dirs", cgroup.dirs);
}

void json_fields(auto& io, Like<ProcessRef> auto& process) {
  io.required("pid", process.pid, is_pid);
  io.required("startTime", process.start_time);
}

void json_fields(auto& io, Like<ExecRecord> auto& exec) {
  io.required("id", exec.id);
  io.required("standIn", exec.stand_in);
}

void json_fields(auto& io, Like<InitExit> auto& exit) {
  io.required("code", exit.code);
  io.required("signal", exit.signal);
}

void json_fields(auto& io, Like<VmRecord> auto& vm) {
  io.required("vcpus", vm.vcpus);
  io.required("memoryMib", vm.memory_mib);
  io.required("accelerator", vm.accelerator);
  io.required("kernel", vm.kernel);
  io.optional("maxVcpus", vm.max_vcpus);
  io.optional("maxMemoryMib", vm.max_memory_mib);
}

void json_fields(auto& io, Like<Membership> auto& membership) {
  io.required("sandbox", membership.sandbox);
  io.required("monitor", membership.monitor);
  io.required("cpuMillis", membership.demand.cpu_millis);
  io.required("memoryMib", membership.demand.memory_mib);
}

void json_fields(auto& io, Like<DiskRecord> auto& disk) {
  io.required("path", disk.path, is_plain_path);
  io.required("sizeMib", disk.size_mib);
  io.optional("lasting", disk.lasting);
}

void json_fields(auto& io, Like<EgressRecord> auto& egress) {
  io.required("sandbox", egress.sandbox);
  io.required("controlSocket", egress.control_socket, is_plain_path);
  io.optional("forwardedIpv4", egress.forwarded_ipv4);
  io.optional("forwardedIpv6", egress.forwarded_ipv6);
}

// A hook with the specification's member names. A type of our own: what config.json may hold is
// the spec parser's business.
struct StoredHook : oci::Hook {
  StoredHook() = default;
  explicit StoredHook(const oci::Hook& hook) : oci::Hook(hook) {}
};

void json_fields(auto& io, Like<StoredHook> auto& hook) {
  io.required("path", hook.path);
  io.optional("args", hook.args);
  io.optional("env", hook.env);
  io.optional("timeout", hook.timeout_s);
}

void hooks_field(auto& io, std::string_view key, Like<std::vector<oci::Hook>> auto& hooks) {
  std::vector<StoredHook> stored;
  for (const oci::Hook& hook : hooks) stored.emplace_back(hook);
  io.optional(key, stored);
  if constexpr (!std::is_const_v<std::remove_reference_t<decltype(hooks)>>) {
    hooks.assign(stored.begin(), stored.end());
  }
}

void json_fields(auto& io, Like<ContainerRecord> auto& record) {
  io.required("ociVersion", record.oci_version);
  io.required("id", record.id);
  io.required("bundle", record.bundle);
  io.required("rootfs", record.rootfs);
  io.optional("annotations", record.annotations);
  io.required("created", record.created);
  io.required("owner", record.owner);
  io.optional("configPath", record.config_path);
  io.required("status", record.status);
  io.required("creator", record.creator);
  io.required("monitor", record.monitor);
  io.optional("initExit", record.init_exit);
  io.required("cgroup", record.cgroup);
  io.required("vm", record.vm);
  io.optional("disk", record.disk);
  io.optional("egress", record.egress);
  io.optional("networkNamespace", record.network_namespace, is_plain_path);
  io.optional("poolPlace", record.pool_place, is_plain_path);
  io.optional("membership", record.membership);
  io.optional("podShm", record.pod_shm, is_plain_path);
  io.optional("execs", record.execs);
  hooks_field(io, "poststartHooks", record.poststart_hooks);
  hooks_field(io, "poststopHooks", record.poststop_hooks);
}

Result<ProcessRef> refer_to_process(pid_t pid) {
  return ProcessRef{pid, TRY(sys::process_start_time(pid), "process {}", pid)};
}

bool is_alive(const ProcessRef& process) {
  if (process.pid <= 0) return false;
  const auto stat = sys::read_file(fmt::format("/proc/{}/stat", process.pid), 4096);
  if (!stat) return false;
  const std::size_t at = stat->rfind(')');
  if (at == std::string::npos || at + 2 >= stat->size()) return false;
  const char state = (*stat)[at + 2];
  if (state == 'Z' || state == 'X' || state == 'x') return false;
  const auto start_time = sys::process_start_time(process.pid);
  return start_time && *start_time == process.start_time;
}

Status effective_status(const ContainerRecord& record) {
  switch (record.status) {
    case Status::creating:
      return is_alive(record.creator) || is_alive(record.monitor) ? record.status : Status::stopped;
    case Status::created:
    case Status::running:
    case Status::paused:
      return is_alive(record.monitor) ? record.status : Status::stopped;
    case Status::stopped:
      return Status::stopped;
  }
  return Status::stopped;
}

std::string write_record(const ContainerRecord& record) {
  return write_json(record, 2) + "\n";
}

Result<ContainerRecord> parse_record(std::string_view json) {
  JsonUnknown unknown;
  auto record = TRY(parse_json<ContainerRecord>(
      json, &unknown, {.bytes = kMaxRecordBytes, .depth = 16, .values = 65'536}));
  if (!unknown.pointers().empty()) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("{}: unknown member; another version of agentvm wrote this",
                            unknown.pointers().front()));
  }
  return record;
}

std::string make_timestamp() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now);
  const auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(now - seconds);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:09}Z", fmt::gmtime(std::time_t{seconds.count()}),
                     nanoseconds.count());
}

}  // namespace agentvm::runtime
