#include "guest-agent/template_wait.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "guest-agent/blocking_call.h"
#include "guest-agent/modules.h"
#include "guest-agent/pci_slot.h"
#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "rpc/guest_contract.h"

namespace agentvm::guest {

namespace {

// A look into an empty slot is one read of its configuration space.
constexpr std::chrono::milliseconds kBetweenLooks{1};
// What boot left behind in free pages would be saved and copied with every restore: the pages are
// taken once, which clears them, and a page of zeros is not saved. Step by step, and never the last
// of them: the kernel goes on working meanwhile. Runs in a child, whose end gives them back, and
// which is the one to be killed should it be too many all the same. 0 or errno.
constexpr std::size_t kStep = std::size_t{8} << 20;
constexpr std::size_t kLeftFree = std::size_t{24} << 20;
constexpr std::size_t kLeftFreeShare = 32;  // and this part of all memory: watermarks grow with it

int take_free_memory() {
  const int score = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score < 0 || ::write(score, "1000", 4) != 4) return errno;
  struct sysinfo info{};
  if (::sysinfo(&info) != 0) return errno;
  const std::size_t left = kLeftFree + std::size_t{info.totalram} * info.mem_unit / kLeftFreeShare;
  while (std::size_t{info.freeram} * info.mem_unit > left + kStep) {
    void* pages = ::mmap(nullptr, kStep, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_POPULATE, -1, 0);
    if (pages == MAP_FAILED) return errno;
    if (::sysinfo(&info) != 0) return errno;
  }
  return 0;
}

Result<void> say_ready() {
  return sys::write_all(STDERR_FILENO, std::string(rpc::kTemplateReady) + "\n");
}

}  // namespace

Task<void> wait_to_be_restored(Reaper& reaper, Moments& moments) {
  const PciSlot vsock = CO_TRY(PciSlot::open(rpc::kVsockSlot));
  const PciSlot shared = CO_TRY(PciSlot::open(rpc::kSharedSlot));
  CO_TRY(vsock.power_on());
  CO_TRY(shared.power_on());
  // Most containers have a network, many a disk.
  CO_TRY(load_module("virtio_net"));
  CO_TRY(load_module("virtio_blk"));
  CO_TRY(sys::write_file("/proc/sys/vm/drop_caches", "3"));
  // Without it the template is larger, no worse.
  auto cleared = co_await call_in_child(reaper, "clear the free memory", take_free_memory);
  if (!cleared) log::warning("{}", cleared.error().text());
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
