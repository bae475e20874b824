#include "guest-agent/template_wait.h"

#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "guest-agent/pci_slot.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "rpc/guest_contract.h"

namespace agentvm::guest {

namespace {

// A look into an empty slot is one read of its configuration space.
constexpr std::chrono::milliseconds kBetweenLooks{1};
// Not taken when the free memory is cleared: the kernel goes on working meanwhile.
constexpr std::size_t kLeftFree = std::size_t{24} << 20;

// What boot left behind in free pages would be saved and copied with every restore: the pages are
// taken once, which clears them, and a page of zeros is not saved.
Result<void> clear_free_memory() {
  TRY(sys::write_file("/proc/sys/vm/drop_caches", "3"));
  struct sysinfo info{};
  if (::sysinfo(&info) != 0) return fail_errno(errno, "sysinfo");
  const std::size_t free = std::size_t{info.freeram} * info.mem_unit;
  if (free <= kLeftFree) return {};
  const std::size_t size = free - kLeftFree;
  void* pages = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_POPULATE, -1, 0);
  if (pages == MAP_FAILED) return fail_errno(errno, "take the free memory");
  ::munmap(pages, size);
  return {};
}

Result<void> say_ready() {
  return sys::write_all(STDERR_FILENO, std::string(rpc::kTemplateReady) + "\n");
}

}  // namespace

Task<void> wait_to_be_restored(Moments& moments) {
  const PciSlot vsock = CO_TRY(PciSlot::open(rpc::kVsockSlot));
  const PciSlot shared = CO_TRY(PciSlot::open(rpc::kSharedSlot));
  CO_TRY(vsock.power_on());
  CO_TRY(shared.power_on());
  CO_TRY(clear_free_memory(), "clear the free memory");
  CO_TRY(say_ready());
  const auto executor = co_await asio::this_coro::executor;
  for (;;) {
    const bool plugged = CO_TRY(vsock.look());
    if (plugged) break;
    asio::steady_timer pause(executor, kBetweenLooks);
    (void)co_await pause.async_wait(use_result);
  }
  moments.mark(agent::v1::GUEST_STEP_VSOCK_FOUND);
  const bool plugged = CO_TRY(shared.look());
  if (!plugged) co_return fail(ErrorKind::unavailable, "the shared directory was not plugged");
  moments.mark(agent::v1::GUEST_STEP_SHARE_FOUND);
  co_return Result<void>{};
}

}  // namespace agentvm::guest
