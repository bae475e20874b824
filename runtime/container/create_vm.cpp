#include <fmt/format.h>

#include "oci/base/log.h"
#include "oci/base/try.h"
#include "runtime/container/creation.h"
#include "runtime/disks/image.h"
#include "runtime/host_cgroup.h"
#include "runtime/host_limits.h"
#include "runtime/oom_score.h"
#include "runtime/pool/claim.h"
#include "runtime/recorded_cgroup.h"
#include "runtime/templates/choice.h"

namespace agentvm::runtime {

namespace {

// For a place among the VMs that start: each of those that hold one has time-outs of its own.
constexpr std::chrono::minutes kStartPatience{10};

HostLimitsPlan host_limits(const MonitorPlan& plan) {
  return plan_host_limits(plan.resources, plan.size.memory_mib,
                          plan.config.cgroup.memory_overhead_mib);
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
Result<void> find_vm(const Creation& creation, MonitorPlan& plan) {
  auto& [engine, request, bundle, dir, record, timings] = creation;
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

// Recorded before it is made: what belongs to this container alone goes with it, however far it
// got.
Result<void> take_disk(const Creation& creation, MonitorPlan& plan) {
  if (!plan.disk) return {};
  ContainerRecord& record = creation.record;
  const std::string& directory = plan.config.disk.directory;
  const DiskPlace place = TRY(find_disk_place(*plan.disk, record.rootfs, record.id, directory));
  record.disk = {place.directory + "/" + place.name, plan.disk->size_mib, place.lasting};
  TRY(store(creation.dir, record));
  DiskImage image = TRY(open_disk(place, plan.disk->size_mib, directory));
  record.disk->size_mib = image.size_mib;
  plan.disk_image = std::move(image.fd);
  return {};
}

}  // namespace

Result<MonitorPlan> plan_vm(const Engine& engine, const CreateRequest& request,
                            const Bundle& bundle, PodRole role) {
  MonitorPlan plan;
  SharePlace place;
  plan.takes_members = takes_members(role);
  if (plan.takes_members) place.pod_shm = find_pod_shm(bundle.spec, bundle.path);
  TRY(plan_stand_in(engine, request, bundle, place, plan));
  plan.disk = TRY(plan_disk(bundle.spec, plan.config, plan.share));
  if (plan.disk && plan.disk->docker) plan.seccomp.reset();
  plan.resources = bundle.spec.linux_->resources.value_or(oci::Resources{});
  if (role == PodRole::sandbox) plan.resources = TRY(sandbox_resources(bundle.spec));
  const HostSize host = TRY(host_size());
  oci::Spec sized = bundle.spec;
  sized.linux_->resources = plan.resources;
  plan.size = TRY(vm_size(sized, plan.config, host));
  plan.machine = TRY(plan_machine(plan.config, plan.size));
  log::debug("VM: {} vcpus, {} MiB, {} ({})", plan.size.vcpus, plan.size.memory_mib,
             name_of(plan.machine.config.accelerator), plan.machine.accelerator.reason);
  return plan;
}

Result<void> bring_up_vm(const Creation& creation, MonitorPlan& plan) {
  auto& [engine, request, bundle, dir, record, timings] = creation;
  TRY(find_vm(creation, plan));
  TRY(take_disk(creation, plan));
  auto spawned = TRY(spawn_monitor(plan));
  plan.disk_image.reset();
  if (plan.claimed) plan.claimed->socket.reset();
  record.monitor = spawned.process;
  record.vm = {plan.size.vcpus,
               plan.size.memory_mib,
               std::string(name_of(plan.machine.config.accelerator)),
               plan.machine.config.kernel,
               plan.size.max_vcpus,
               plan.size.max_memory_mib};
  if (plan.takes_members) record.pod_shm = find_pod_shm(bundle.spec, bundle.path);
  // A VM that waited runs already and is moved in while its guest works; a new one starts inside.
  if (!plan.claimed) {
    if (auto made = make_cgroup(engine, plan, dir, record); !made) {
      return std::unexpected(explain_by_monitor(spawned.channel, std::move(made).error()));
    }
  }
  const auto once_prepared = [&]() -> Result<void> {
    if (!plan.claimed) return {};
    TRY(make_cgroup(engine, plan, dir, record));
    return move_claimed_vm(plan, record);
  };
  TRY(follow_stand_in(creation, plan, spawned, once_prepared));
  plan.gate.reset();
  return limit_cpu_time(plan, record);
}

}  // namespace agentvm::runtime
