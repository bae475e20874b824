// What create does for every container, whoever's its VM is: the parts of create_container().
#pragma once

#include <functional>

#include "runtime/channel.h"
#include "runtime/container/bundle.h"
#include "runtime/container/create.h"
#include "runtime/monitor/spawn.h"
#include "runtime/pod.h"

namespace agentvm::runtime {

// One container on its way. The state directory is made; `record` is stored where it changes.
struct Creation {
  const Engine& engine;
  const CreateRequest& request;
  const Bundle& bundle;
  const StateDir& dir;
  ContainerRecord& record;
  Timings& timings;
};

// A plan's common part: all that can be refused before anything is made.
[[nodiscard]] Result<void> plan_stand_in(const Engine& engine, const CreateRequest& request,
                                         const Bundle& bundle, const SharePlace& place,
                                         StandInPlan& plan);

// A VM and what is in it: create_vm.cpp. `role`: any but member.
[[nodiscard]] Result<MonitorPlan> plan_vm(const Engine& engine, const CreateRequest& request,
                                          const Bundle& bundle, PodRole role);
[[nodiscard]] Result<void> bring_up_vm(const Creation& creation, MonitorPlan& plan);

// A member of a pod: create_member.cpp. `sandbox` outlives the plan; the namespaces that the bundle
// wants of the pod are taken out of it.
[[nodiscard]] Result<OpenContainer> open_sandbox(const Engine& engine, const std::string& id);
[[nodiscard]] Result<MemberPlan> plan_member(const Engine& engine, const CreateRequest& request,
                                             Bundle& bundle, OpenContainer& sandbox);
[[nodiscard]] Result<Membership> make_membership(const Bundle& bundle,
                                                 const OpenContainer& sandbox);
[[nodiscard]] Result<void> bring_up_member(const Creation& creation, MemberPlan& plan);

// From a stand-in that was spawned and has its cgroup: hooks, and everything up to "created".
[[nodiscard]] Result<void> follow_stand_in(const Creation& creation, StandInPlan& plan,
                                           SpawnedMonitor& spawned,
                                           const std::function<Result<void>()>& once_prepared);

}  // namespace agentvm::runtime
