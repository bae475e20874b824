#include "runtime/monitor/guest_boot.h"

#include <sys/wait.h>

#include <csignal>
#include <optional>

#include "oci/base/log.h"
#include "oci/base/try.h"
#include "runtime/session/guest_link.h"
#include "runtime/templates/choice.h"

namespace agentvm::runtime {

namespace {

Task<void> configure(MonitorPlan& plan, rpc::AgentClient& agent) {
  return configure_guest(agent, plan.config, plan.spec.hostname, plan.timings);
}

Task<Guest> take_waiting_guest(MonitorPlan& plan) {
  Guest guest;
  auto machine =
      co_await take_over(std::move(plan.claimed->socket), plan.dir->path() + "/" + kSharedDirectory,
                         plan.config.vm.request_timeout);
  guest.machine = CO_TRY(std::move(machine), "take over a VM of the pool");
  plan.timings.mark("VM taken over, its share attached");
  GuestLink link{plan.dir->fd(), plan.config.vm.request_timeout};
  auto agent = co_await connect_agent(link);
  guest.agent = CO_TRY(std::move(agent));
  plan.timings.mark("guest's agent reached");
  auto configured = co_await configure(plan, *guest.agent);
  CO_TRY(std::move(configured));
  co_return std::move(guest);
}

Task<Guest> start_one(MonitorPlan& plan, std::optional<vmm::MachineEnd>& lost) {
  GuestOrder order{plan.machine.config, plan.dir->path(), plan.saved ? &*plan.saved : nullptr,
                   plan.timings};
  auto started = co_await start_guest(std::move(order), lost);
  auto guest = CO_TRY(std::move(started));
  auto configured = co_await configure(plan, *guest.agent);
  CO_TRY(std::move(configured));
  co_return std::move(guest);
}

Task<Guest> start_new_guest(MonitorPlan& plan) {
  std::optional<vmm::MachineEnd> lost;
  if (plan.saved) {
    auto restored = co_await start_one(plan, lost);
    // A part that somebody killed (the kernel, short of memory, perhaps) says nothing about the
    // template, and would be killed again.
    const bool killed =
        lost && WIFSIGNALED(lost->wait_status) && WTERMSIG(lost->wait_status) == SIGKILL;
    if (restored || killed) co_return std::move(restored);
    const std::string why = restored.error().text();
    log::warning("container '{}': its VM could not be restored and boots: {}", plan.dir->id(), why);
    reject_template(plan.config, plan.saved->manifest.key, why);
    plan.saved.reset();
  }
  co_return co_await start_one(plan, lost);
}

}  // namespace

Task<Guest> boot_guest(MonitorPlan& plan) {
  return plan.claimed ? take_waiting_guest(plan) : start_new_guest(plan);
}

}  // namespace agentvm::runtime
