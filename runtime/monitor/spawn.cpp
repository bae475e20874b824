#include "runtime/monitor/spawn.h"

#include <sys/socket.h>
#include <unistd.h>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/monitor/monitor.h"
#include "runtime/orphan.h"

namespace agentvm::runtime {

Result<SpawnedMonitor> spawn_monitor(MonitorPlan& plan) {
  auto ends = TRY(sys::socket_pair(SOCK_STREAM));
  const pid_t pid = TRY(spawn_orphan([&] {
                          ends.first.reset();
                          plan.gate.reset();
                          run_monitor(plan, Channel(std::move(ends.second)));
                        }),
                        "start the monitor");
  ends.second.reset();
  auto process = TRY(refer_to_process(pid), "the monitor");
  return SpawnedMonitor{process, Channel(std::move(ends.first))};
}

}  // namespace agentvm::runtime
