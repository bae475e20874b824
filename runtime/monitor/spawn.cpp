#include "runtime/monitor/spawn.h"

#include <sys/socket.h>
#include <unistd.h>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/monitor/member.h"
#include "runtime/monitor/monitor.h"
#include "runtime/orphan.h"

namespace agentvm::runtime {

namespace {

Result<SpawnedMonitor> spawn_stand_in(const std::function<void(Channel)>& life) {
  auto ends = TRY(sys::socket_pair(SOCK_STREAM));
  const pid_t pid = TRY(spawn_orphan([&] {
                          ends.first.reset();
                          life(Channel(std::move(ends.second)));
                        }),
                        "start the monitor");
  ends.second.reset();
  Channel channel(std::move(ends.first));
  auto process = refer_to_process(pid);
  if (!process) {
    Error gone = std::move(process).error().wrap("the monitor");
    return std::unexpected(explain_by_monitor(channel, std::move(gone)));
  }
  return SpawnedMonitor{*process, std::move(channel)};
}

}  // namespace

Result<SpawnedMonitor> spawn_monitor(MonitorPlan& plan) {
  return spawn_stand_in([&plan](Channel channel) {
    plan.gate.reset();
    run_monitor(plan, std::move(channel));
  });
}

Result<SpawnedMonitor> spawn_member(MemberPlan& plan) {
  return spawn_stand_in([&plan](Channel channel) { run_member(plan, std::move(channel)); });
}

Error explain_by_monitor(Channel& channel, Error error) {
  auto said = channel.receive(std::chrono::milliseconds(0));
  if (said && *said && (*said)->type == MessageType::failed) return std::move((*said)->error);
  return error;
}

}  // namespace agentvm::runtime
