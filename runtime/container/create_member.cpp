#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/container/creation.h"
#include "runtime/container/pod_growth.h"
#include "runtime/disks/plan.h"
#include "runtime/monitor/pod_share.h"
#include "runtime/monitor/surroundings.h"
#include "runtime/recorded_cgroup.h"
#include "runtime/session/guest_link.h"
#include "runtime/session/guest_share.h"

namespace agentvm::runtime {

namespace {

std::unexpected<Error> refuse(std::string why) {
  return fail(ErrorKind::failed_precondition, std::move(why));
}

// The network of a pod is the sandbox's: the VM has no other.
Result<void> check_network(const oci::Spec& spec, const ProcessRef& sandbox) {
  const std::string path = network_namespace(spec);
  struct stat theirs{};
  struct stat pods{};
  const std::string own = fmt::format("/proc/{}/ns/net", sandbox.pid);
  if (::stat(own.c_str(), &pods) != 0) return refuse("the pod's sandbox has ended");
  if (!path.empty() && ::stat(path.c_str(), &theirs) == 0 && theirs.st_ino == pods.st_ino &&
      theirs.st_dev == pods.st_dev) {
    return {};
  }
  return fail(ErrorKind::invalid_argument,
              fmt::format("/linux/namespaces: 'network' with path '{}': a container of a pod has "
                          "the network of the pod's sandbox, '{}'",
                          path, own));
}

// The guest's agent answers there, for every container of the VM. One more name of the sandbox's
// socket, so that whatever finds a container's guest finds a member's.
Result<void> link_vsock(const StateDir& sandbox, const StateDir& dir) {
  const auto from = TRY(open_vsock_directory(sandbox.fd()), "the sandbox's vsock");
  const auto to = TRY(open_vsock_directory(dir.fd()));
  if (::linkat(from.get(), kVsockSocket, to.get(), kVsockSocket, 0) != 0) {
    return fail_errno(errno, "link the sandbox's vsock");
  }
  return {};
}

// The directories above that were made for the sandbox go with the last of the pod, whoever that
// is.
void inherit_parents(const CgroupRecord& sandbox, CgroupRecord& member) {
  for (CgroupDir& dir : member.dirs) {
    const auto theirs = std::ranges::find(sandbox.dirs, dir.hierarchy, &CgroupDir::hierarchy);
    if (theirs == sandbox.dirs.end()) continue;
    std::vector<std::string> parents;
    for (const std::string& parent : theirs->made_parents) {
      if (dir.path.starts_with(parent + "/")) parents.push_back(parent);
    }
    parents.insert(parents.end(), dir.made_parents.begin(), dir.made_parents.end());
    dir.made_parents = std::move(parents);
  }
}

// What stands for the container on the host is one small process. Its limits are the guest's to
// enforce; the VM's processes are in the sandbox's cgroup.
Result<void> make_member_cgroup(const Engine& engine, const MemberPlan& plan, const StateDir& dir,
                                ContainerRecord& record) {
  if (!plan.config.cgroup.enabled) return store(dir, record);
  CgroupRequest request;
  request.container_id = record.id;
  request.cgroups_path = plan.spec.linux_->cgroups_path;
  request.driver = engine.systemd_cgroup ? CgroupDriver::systemd : CgroupDriver::cgroupfs;
  request.first = record.monitor.pid;
  (void)TRY(make_recorded_cgroup(request, dir, record));
  inherit_parents(TRY(plan.sandbox->load()).cgroup, record.cgroup);
  return store(dir, record);
}

// What only a VM of its own would honour.
void note_limits(const oci::Spec& spec) {
  if (!spec.linux_->resources) return;
  const oci::Resources& resources = *spec.linux_->resources;
  if (resources.cpu && (!resources.cpu->cpus.empty() || !resources.cpu->mems.empty())) {
    log::info("cpu cpus and mems have no effect on a container of a pod: its VM is the sandbox's");
  }
  if (resources.block_io) {
    log::info("blockIO has no effect on a container of a pod: its VM is the sandbox's");
  }
}

// The VM's disk is its first container's.
Result<void> refuse_disk(const oci::Spec& spec) {
  for (const auto& [name, value] :
       {std::pair{kDockerAnnotation, "true"}, std::pair{kRootAnnotation, "overlay"}}) {
    const auto found = spec.annotations.find(name);
    if (found == spec.annotations.end() || found->second != value) continue;
    return refuse(
        fmt::format("annotation '{}': a pod's containers have no disk of their own; give it "
                    "to a container that has its VM for itself",
                    name));
  }
  return {};
}

}  // namespace

Result<OpenContainer> open_sandbox(const Engine& engine, const std::string& id) {
  auto sandbox = open_container(engine, id);
  if (!sandbox && sandbox.error().kind == ErrorKind::not_found) {
    return refuse(fmt::format("there is none below '{}'", engine.root));
  }
  if (!sandbox) return std::unexpected(std::move(sandbox).error());
  const PodPlace place = TRY(pod_place(sandbox->record.annotations));
  if (!takes_members(place.role)) return refuse("that container is not a pod's sandbox");
  const Status status = effective_status(sandbox->record);
  if (status == Status::created || status == Status::running) return sandbox;
  return refuse(
      fmt::format("it is {}, and has no VM to take a container in", oci::name_of(status)));
}

Result<MemberPlan> plan_member(const Engine& engine, const CreateRequest& request, Bundle& bundle,
                               OpenContainer& sandbox) {
  MemberPlan plan;
  plan.sandbox = &sandbox.dir;
  plan.sandbox_monitor = sandbox.record.monitor;
  plan.share_name = make_share_name();
  const auto fellows = TRY(living_fellows(engine, sandbox));
  plan.namespaces = take_pod_namespaces(bundle.spec, fellows);
  if (!bundle.spec.linux_) return fail(ErrorKind::invalid_argument, "/linux is missing");
  TRY(check_network(bundle.spec, plan.sandbox_monitor));
  TRY(refuse_disk(bundle.spec));
  SharePlace place{guest_member_directory(plan.share_name), sandbox.record.pod_shm};
  TRY(plan_stand_in(engine, request, bundle, place, plan));
  // What it has of the others it does not get of its own.
  std::erase_if(plan.share.guest_spec.linux_->namespaces, [&](const oci::Namespace& entry) {
    return std::ranges::find(plan.namespaces, entry.type, &PodNamespace::type) !=
           plan.namespaces.end();
  });
  note_limits(bundle.spec);
  return plan;
}

Result<Membership> make_membership(const Bundle& bundle, const OpenContainer& sandbox) {
  Membership membership{sandbox.record.id, sandbox.record.monitor, {}};
  if (bundle.spec.linux_->resources) {
    membership.demand = TRY(pod_demand(*bundle.spec.linux_->resources));
  }
  return membership;
}

Result<void> bring_up_member(const Creation& creation, MemberPlan& plan) {
  auto& [engine, request, bundle, dir, record, timings] = creation;
  TRY(link_vsock(*plan.sandbox, dir));
  TRY(grow_pod(engine, *record.membership), "make the pod's VM larger");
  timings.mark("the pod's VM is large enough");
  auto spawned = TRY(spawn_member(plan));
  record.monitor = spawned.process;
  if (auto made = make_member_cgroup(engine, plan, dir, record); !made) {
    return std::unexpected(explain_by_monitor(spawned.channel, std::move(made).error()));
  }
  return follow_stand_in(creation, plan, spawned, [] { return Result<void>{}; });
}

}  // namespace agentvm::runtime
