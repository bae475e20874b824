#include "runtime/container/create.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "oci/spec_parser.h"
#include "runtime/console.h"
#include "runtime/container/state_document.h"
#include "runtime/destroy.h"
#include "runtime/hooks.h"
#include "runtime/host_cgroup.h"
#include "runtime/host_limits.h"
#include "runtime/host_root.h"
#include "runtime/monitor/spawn.h"
#include "runtime/monitor/surroundings.h"
#include "runtime/oom_score.h"
#include "runtime/pool/claim.h"
#include "runtime/pool/fill.h"
#include "runtime/recorded_cgroup.h"
#include "runtime/session/guest_link.h"
#include "runtime/session/guest_start.h"
#include "runtime/session/process_streams.h"
#include "runtime/templates/choice.h"

namespace agentvm::runtime {

namespace {

constexpr std::size_t kMaxConfigBytes = 16U << 20;
// For a place among the VMs that start: each of those that hold one has time-outs of its own.
constexpr std::chrono::minutes kStartPatience{10};

constexpr std::string_view kMonitor = "the container's monitor";

struct Bundle {
  std::string path;  // absolute, symlinks resolved
  oci::Spec spec;
};

Result<Bundle> load_bundle(const std::string& given) {
  std::error_code code;
  const std::string path = std::filesystem::canonical(given, code).string();
  if (code) return fail_errno(code.value(), fmt::format("bundle '{}'", given));
  auto text = sys::read_file(path + "/config.json", kMaxConfigBytes);
  if (!text && text.error().errnum == ENOENT) {
    return fail(ErrorKind::not_found,
                fmt::format("bundle '{}' has no config.json: `agentvm spec` writes one", path));
  }
  const std::string json = TRY(std::move(text));
  auto spec = TRY(oci::parse_spec(json), "{}/config.json", path);
  if (!spec.process) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("{}/config.json: /process is missing: there is nothing to run", path));
  }
  return Bundle{path, std::move(spec)};
}

// runc's rules on who brings the terminal.
Result<void> check_terminal(const oci::Spec& spec, const CreateRequest& request) {
  const bool terminal = spec.process->terminal;
  if (terminal && request.console_socket.empty() && !request.foreground) {
    return fail(ErrorKind::invalid_argument,
                "cannot allocate tty if runc will detach without setting console socket");
  }
  if (!request.console_socket.empty() && (!terminal || request.foreground)) {
    return fail(ErrorKind::invalid_argument,
                "cannot use console socket if runc will not detach or allocate tty");
  }
  return {};
}

std::string owner_name() {
  const passwd* entry = ::getpwuid(::geteuid());
  return entry != nullptr ? entry->pw_name : std::to_string(::geteuid());
}

Result<ContainerRecord> make_record(const Engine& engine, const CreateRequest& request,
                                    const Bundle& bundle) {
  ContainerRecord record;
  record.id = request.id;
  record.oci_version = bundle.spec.oci_version;
  record.bundle = bundle.path;
  record.rootfs =
      std::filesystem::weakly_canonical(std::filesystem::path(bundle.path) / bundle.spec.root->path)
          .string();
  record.annotations = bundle.spec.annotations;
  record.created = make_timestamp();
  record.owner = owner_name();
  record.config_path = engine.config_path;
  record.creator = TRY(refer_to_process(::getpid()));
  record.network_namespace = network_namespace(bundle.spec);
  record.poststart_hooks = bundle.spec.hooks.poststart;
  record.poststop_hooks = bundle.spec.hooks.poststop;
  return record;
}

// Everything that can be refused before anything is made.
Result<MonitorPlan> make_plan(const Engine& engine, const CreateRequest& request,
                              const Bundle& bundle) {
  TRY(check_terminal(bundle.spec, request));
  TRY(check_supported(bundle.spec, engine.config));
  MonitorPlan plan;
  plan.spec = bundle.spec;
  plan.config = TRY(config_for(bundle.spec, engine.config));
  const HostSize host = TRY(host_size());
  plan.size = TRY(vm_size(bundle.spec, plan.config, host));
  plan.share = TRY(plan_share(bundle.spec, bundle.path));
  if (bundle.spec.linux_ && bundle.spec.linux_->seccomp) {
    plan.seccomp = TRY(oci::compile_seccomp(*bundle.spec.linux_->seccomp));
  }
  plan.machine = TRY(plan_machine(plan.config, plan.size));
  plan.foreground = request.foreground;
  for (const std::string& note : plan.share.notes) log::info("{}", note);
  for (const std::string& member : bundle.spec.unknown_members) {
    log::warning("config.json: unknown member {} is ignored", member);
  }
  log::debug("VM: {} vcpus, {} MiB, {} ({})", plan.size.vcpus, plan.size.memory_mib,
             name_of(plan.machine.config.accelerator), plan.machine.accelerator.reason);
  return plan;
}

Result<void> attach_terminal(MonitorPlan& plan, const CreateRequest& request) {
  if (!plan.spec.process->terminal) return {};
  if (request.foreground) {
    plan.terminal = TRY(inherit_terminal());
    return {};
  }
  auto pty = TRY(open_pty());
  if (const auto size = plan.spec.process->console_size) {
    TRY(set_window_size(pty.slave.get(), {size->height, size->width}));
  }
  TRY(send_console(request.console_socket, pty));
  plan.terminal = std::move(pty.slave);
  plan.own_terminal = true;
  return {};
}

// The hooks of create, in the specification's order, while the guest boots.
Result<void> run_create_hooks(const ContainerRecord& record, const oci::Hooks& hooks) {
  if (hooks.prestart.empty() && hooks.create_runtime.empty() && hooks.create_container.empty()) {
    return {};
  }
  HookContext context{state_document(record)};
  TRY(run_hooks(HookKind::prestart, hooks.prestart, context));
  TRY(run_hooks(HookKind::create_runtime, hooks.create_runtime, context));
  if (hooks.create_container.empty()) return {};
  auto netns =
      TRY(sys::open_at(AT_FDCWD, fmt::format("/proc/{}/ns/net", record.monitor.pid), O_RDONLY));
  context.network_namespace = netns.get();
  return run_hooks(HookKind::create_container, hooks.create_container, context);
}

HostLimitsPlan host_limits(const MonitorPlan& plan) {
  return plan_host_limits(plan.spec.linux_->resources.value_or(oci::Resources{}),
                          plan.size.memory_mib, plan.config.cgroup.memory_overhead_mib);
}

// The container's quota of CPU time is its own: what its VM needs to start is not taken from it.
CgroupRequest cgroup_request(const Engine& engine, const MonitorPlan& plan,
                             const ContainerRecord& record) {
  CgroupRequest request;
  request.container_id = record.id;
  request.cgroups_path = plan.spec.linux_->cgroups_path;
  request.driver = engine.systemd_cgroup ? CgroupDriver::systemd : CgroupDriver::cgroupfs;
  auto limits = host_limits(plan);
  for (const std::string& note : limits.notes) log::info("{}", note);
  request.limits = std::move(limits.limits);
  request.limits.cpu_quota_us.reset();
  request.limits.cpu_period_us.reset();
  request.limits.cpu_burst_us.reset();
  request.first = record.monitor.pid;
  return request;
}

Result<void> make_cgroup(const Engine& engine, const MonitorPlan& plan, const StateDir& dir,
                         ContainerRecord& record) {
  if (!plan.config.cgroup.enabled || !plan.spec.linux_) return store(dir, record);
  auto cgroup = TRY(make_recorded_cgroup(cgroup_request(engine, plan, record), dir, record));
  for (const std::string& note : cgroup.notes()) log::info("{}", note);
  return {};
}

// Once the VM has started.
Result<void> limit_cpu_time(const MonitorPlan& plan, const ContainerRecord& record) {
  if (record.cgroup.dirs.empty()) return {};
  const HostLimits all = host_limits(plan).limits;
  HostLimits quota;
  quota.pids.reset();
  quota.cpu_quota_us = all.cpu_quota_us;
  quota.cpu_period_us = all.cpu_period_us;
  quota.cpu_burst_us = all.cpu_burst_us;
  if (!quota.cpu_quota_us && !quota.cpu_period_us && !quota.cpu_burst_us) return {};
  for (const std::string& note : TRY(HostCgroup::adopt(record.cgroup).update(quota))) {
    log::info("{}", note);
  }
  return {};
}

// The processes of a VM that waited, into the container's cgroup, with its score.
Result<void> move_claimed_vm(const MonitorPlan& plan, const ContainerRecord& record) {
  const auto cgroup = HostCgroup::adopt(record.cgroup);
  for (const pid_t pid : TRY(HostCgroup::adopt(plan.claimed->cgroup).pids())) {
    if (!record.cgroup.dirs.empty()) TRY(cgroup.join(pid));
    apply_oom_score(plan.spec, pid);
  }
  return {};
}

Result<StartGate> enter_gate(const Config& config) {
  const std::uint32_t cpus = TRY(host_size()).cpus;
  return StartGate::enter(config.vm.parallel_starts == 0 ? cpus : config.vm.parallel_starts,
                          kStartPatience);
}

// One that waits, or a template and a place among those that start.
Result<void> find_vm(MonitorPlan& plan, const StateDir& dir, ContainerRecord& record,
                     Timings& timings) {
  plan.claimed = claim_vm(plan.config, plan.machine.config, dir);
  if (plan.claimed) {
    record.pool_place = plan.claimed->place;
    timings.mark("a VM of the pool claimed");
    return {};
  }
  plan.saved = choose_template(plan.config, plan.machine.config);
  plan.gate = TRY(enter_gate(plan.config));
  timings.mark("a place among those that start");
  return {};
}

// With the state directory made: everything up to "created".
Result<void> bring_up(const Engine& engine, MonitorPlan& plan, const StateDir& dir,
                      ContainerRecord& record, Timings& timings) {
  TRY(find_vm(plan, dir, record, timings));
  auto spawned = TRY(spawn_monitor(plan));
  plan.terminal.reset();
  if (plan.claimed) plan.claimed->socket.reset();
  record.monitor = spawned.process;
  record.vm = {plan.size.vcpus,
               plan.size.memory_mib,
               std::string(name_of(plan.machine.config.accelerator)),
               plan.machine.config.kernel,
               plan.size.max_vcpus,
               plan.size.max_memory_mib};
  const auto timeout = plan.config.vm.boot_timeout + 4 * plan.config.vm.request_timeout;
  // A VM that waited runs already and is moved in while its guest works; a new one starts inside.
  if (!plan.claimed) {
    if (auto made = make_cgroup(engine, plan, dir, record); !made) {
      return std::unexpected(explain_by_monitor(spawned.channel, std::move(made).error()));
    }
  }
  TRY(spawned.channel.expect(MessageType::prepared, timeout, kMonitor));
  TRY(spawned.channel.send({MessageType::proceed, "", {}}));
  if (plan.claimed) {
    TRY(make_cgroup(engine, plan, dir, record));
    TRY(move_claimed_vm(plan, record));
  }
  TRY(run_create_hooks(record, plan.spec.hooks));
  // A monitor that has failed meanwhile does not listen any more; what it said is there to be read.
  const auto sent = spawned.channel.send({MessageType::hooks_done, "", {}});
  const Message created = TRY(spawned.channel.expect(MessageType::created, timeout, kMonitor));
  TRY(sent);
  plan.gate.reset();
  TRY(limit_cpu_time(plan, record));
  TRY(timings.take(created.text));
  record.status = Status::created;
  return store(dir, record);
}

bool wants_timings(const oci::Spec& spec) {
  const auto found = spec.annotations.find(kTimingsAnnotation);
  return found != spec.annotations.end() && found->second == "true";
}

void log_timings(const std::string& id, const Timings& timings) {
  for (const std::string_view line : split(timings.table(), "\n")) {
    log::info("container '{}': {}", id, line);
  }
}

}  // namespace

Result<CreatedContainer> create_container(const Engine& engine, const CreateRequest& request) {
  Timings own;
  Timings& timings = request.timings != nullptr ? *request.timings : own;
  TRY(check_container_id(request.id));
  TRY(check_host_root());
  const Bundle bundle = TRY(load_bundle(request.bundle));
  auto plan = TRY(make_plan(engine, request, bundle));
  auto record = TRY(make_record(engine, request, bundle));
  auto root = TRY(StateRoot::open(engine.root));
  auto dir = TRY(root.create(record));
  plan.dir = &dir;
  timings.mark("bundle read, VM planned");
  Result<void> up = attach_terminal(plan, request);
  if (up) up = make_guest_directories(dir.fd());
  if (up) up = bring_up(engine, plan, dir, record, timings);
  if (!up) {
    Error error = std::move(up).error().wrap("agentvm create failed");
    if (auto undone = destroy(dir, record); !undone) {
      return std::unexpected(std::move(error).also(undone.error()));
    }
    return std::unexpected(std::move(error));
  }
  timings.mark("created");
  refill_pool(plan.config, plan.machine.config);
  if (wants_timings(bundle.spec)) log_timings(record.id, timings);
  return CreatedContainer{std::move(record), bundle.spec.process->terminal};
}

}  // namespace agentvm::runtime
