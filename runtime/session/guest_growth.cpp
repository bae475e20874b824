#include "runtime/session/guest_growth.h"

#include <algorithm>

#include "oci/base/try.h"

namespace agentvm::runtime {

Task<void> grow_guest(const Guest& guest, vmm::MachineSize start, vmm::MachineSize total,
                      std::chrono::milliseconds timeout) {
  const auto agent = guest.agent;
  auto plugged = co_await guest.machine->grow(total);
  CO_TRY(std::move(plugged));
  agent::v1::GrowGuestRequest request;
  request.set_vcpus(total.vcpus);
  request.set_plugged_memory_mib(std::max(total.memory_mib, start.memory_mib) - start.memory_mib);
  // It answers with what there is, and so before we stop listening.
  request.set_timeout_ms(static_cast<std::uint32_t>(timeout.count() * 2 / 3));
  auto answer = co_await agent->grow_guest(request, timeout);
  const agent::v1::GrowGuestResponse online = CO_TRY(std::move(answer), "tell the guest");
  if (online.vcpus() >= request.vcpus() &&
      online.plugged_memory_mib() >= request.plugged_memory_mib()) {
    co_return Result<void>{};
  }
  co_return fail(
      ErrorKind::unavailable,
      fmt::format("the guest uses {} of {} vCPUs and {} of {} MiB of more memory; what it "
                  "has it keeps, and the same update goes on from there",
                  online.vcpus(), request.vcpus(), online.plugged_memory_mib(),
                  request.plugged_memory_mib()));
}

}  // namespace agentvm::runtime
