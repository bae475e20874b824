#include <fmt/format.h>

#include <algorithm>

#include "oci/base/json_writer.h"
#include "oci/base/try.h"
#include "runtime/cli/verbs.h"
#include "runtime/container/inspect.h"
#include "runtime/container/state_document.h"
#include "runtime/disks/image.h"

namespace agentvm::runtime::cli {

namespace {

void write_list_entry(JsonWriter& json, const ContainerRecord& record) {
  const Status status = effective_status(record);
  json.begin_object();
  json.key("ociVersion").value(record.oci_version);
  json.key("id").value(record.id);
  json.key("pid").value(status == Status::stopped ? 0 : record.monitor.pid);
  json.key("status").value(name_of(status));
  json.key("bundle").value(record.bundle);
  json.key("rootfs").value(record.rootfs);
  json.key("created").value(record.created);
  if (!record.annotations.empty()) {
    json.key("annotations");
    write_json(json, record.annotations);
  }
  json.key("owner").value(record.owner);
  json.end_object();
}

std::string list_table(const std::vector<ContainerRecord>& records) {
  std::size_t id_width = 2;
  std::size_t bundle_width = 6;
  for (const ContainerRecord& record : records) {
    id_width = std::max(id_width, record.id.size());
    bundle_width = std::max(bundle_width, record.bundle.size());
  }
  std::string out = fmt::format("{:<{}}   {:<8} {:<9} {:<{}}   {:<30}   {}\n", "ID", id_width,
                                "PID", "STATUS", "BUNDLE", bundle_width, "CREATED", "OWNER");
  for (const ContainerRecord& record : records) {
    const Status status = effective_status(record);
    out += fmt::format("{:<{}}   {:<8} {:<9} {:<{}}   {:<30}   {}\n", record.id, id_width,
                       status == Status::stopped ? 0 : record.monitor.pid, name_of(status),
                       record.bundle, bundle_width, record.created, record.owner);
  }
  return out;
}

std::string hours_minutes_seconds(std::uint64_t milliseconds) {
  const std::uint64_t seconds = milliseconds / 1000;
  return fmt::format("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

// What the guest says goes to a terminal: nothing in it may steer that.
std::string printable(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return text;
}

std::string process_table(const agent::v1::ListProcessesResponse& list) {
  std::string out =
      fmt::format("{:>6} {:>6} {:>6} {:<8} {:>8} {}\n", "UID", "PID", "PPID", "TTY", "TIME", "CMD");
  for (const agent::v1::ProcessInfo& process : list.processes()) {
    out +=
        fmt::format("{:>6} {:>6} {:>6} {:<8} {:>8} {}\n", process.uid(), process.pid_in_container(),
                    process.ppid(), process.tty().empty() ? "?" : printable(process.tty()),
                    hours_minutes_seconds(process.cpu_time_ms()), printable(process.command()));
  }
  return out;
}

void write_disk(JsonWriter& json, const DiskRecord& disk) {
  json.key("disk").begin_object();
  json.key("path").value(disk.path);
  json.key("sizeMiB").value(disk.size_mib);
  if (const auto used = used_mib(disk.path)) json.key("usedMiB").value(*used);
  json.key("lasting").value(disk.lasting);
  json.end_object();
}

// What runc does not tell: the VM behind the container.
std::string verbose_state(const ContainerRecord& record) {
  JsonWriter json(2);
  json.begin_object();
  json.key("state").raw(state_document(record));
  json.key("vm").begin_object();
  json.key("vcpus").value(record.vm.vcpus);
  json.key("memoryMiB").value(record.vm.memory_mib);
  json.key("maxVcpus").value(record.vm.max_vcpus);
  json.key("maxMemoryMiB").value(record.vm.max_memory_mib);
  json.key("accelerator").value(record.vm.accelerator);
  json.key("kernel").value(record.vm.kernel);
  json.end_object();
  if (record.disk) write_disk(json, *record.disk);
  if (record.membership) json.key("sandbox").value(record.membership->sandbox);
  if (record.init_exit) {
    json.key("exit").begin_object();
    json.key("code").value(record.init_exit->code);
    json.key("signal").value(record.init_exit->signal);
    json.end_object();
  }
  json.key("config").value(record.config_path);
  json.end_object();
  return json.take();
}

}  // namespace

Result<int> run_state(const Engine& engine, const StateOptions& options) {
  const auto opened = TRY(open_container(engine, options.id));
  fmt::print("{}\n",
             options.verbose ? verbose_state(opened.record) : state_document(opened.record, 2));
  return 0;
}

Result<int> run_list(const Engine& engine, const ListOptions& options) {
  const auto records = TRY(list_containers(engine));
  if (options.quiet) {
    for (const ContainerRecord& record : records) fmt::print("{}\n", record.id);
    return 0;
  }
  if (options.format == "table") {
    fmt::print("{}", list_table(records));
    return 0;
  }
  JsonWriter json;
  json.begin_array();
  for (const ContainerRecord& record : records) write_list_entry(json, record);
  json.end_array();
  fmt::print("{}\n", json.take());
  return 0;
}

Result<int> run_ps(const Engine& engine, const PsOptions& options) {
  if (options.format == "json") {
    const auto pids = TRY(list_stand_ins(engine, options.id));
    fmt::print("[{}]\n", fmt::join(pids, ","));
    return 0;
  }
  if (!options.ps_args.empty()) {
    return fail(ErrorKind::invalid_argument,
                "ps options are not taken: the processes live in the guest, whose table is printed "
                "as it is; use `agentvm exec` to run the container's own ps");
  }
  const auto list = TRY(list_processes(engine, options.id));
  fmt::print("{}", process_table(list));
  return 0;
}

}  // namespace agentvm::runtime::cli
