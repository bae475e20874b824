#include "vmm/template/builder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "oci/base/stopwatch.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "vmm/guest_memory.h"
#include "vmm/template/checksum.h"

namespace agentvm::vmm {

namespace {

constexpr std::size_t kMaxState = std::size_t{64} << 20;
constexpr int kNewFile = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;

// The machine's memory file, which holds still now, as the template's.
Result<void> keep_memory(const TemplateOrder& order, TemplateManifest& manifest) {
  const auto from = TRY(sys::open_at(AT_FDCWD, order.machine.memory_file, O_RDONLY));
  const auto to = TRY(sys::open_at(order.directory, "memory", kNewFile, 0600));
  struct stat status{};
  if (::fstat(from.get(), &status) != 0 || ::ftruncate(to.get(), status.st_size) != 0) {
    return fail_errno(errno, "make the memory file");
  }
  manifest.memory_used_bytes = TRY(copy_used_pages(from.get(), to.get()));
  manifest.memory_checksum = TRY(checksum_of_pages(to.get()));
  return {};
}

Result<void> describe_state(int fd, TemplateManifest& manifest) {
  if (::lseek(fd, 0, SEEK_SET) != 0) return fail_errno(errno, "lseek");
  const std::string bytes = TRY(sys::read_all(fd, kMaxState));
  manifest.state_bytes = bytes.size();
  manifest.state_checksum = checksum(bytes);
  return {};
}

}  // namespace

Task<TemplateManifest> build_template(TemplateOrder order) {
  const Stopwatch watch;
  const auto patience = order.machine.boot_timeout;
  TemplateManifest manifest;
  manifest.key = order.key;
  manifest.vcpus = order.machine.vcpus;
  manifest.memory_mib = order.machine.memory_mib;
  auto started = co_await Machine::create(order.machine);
  const auto machine = CO_TRY(std::move(started));
  auto ready = co_await machine->wait_console(order.ready, patience);
  CO_TRY(std::move(ready), "boot the template");
  const auto state = CO_TRY(sys::open_at(order.directory, "state", kNewFile, 0600));
  auto saved = co_await machine->save(state.get(), patience);
  CO_TRY(std::move(saved), "save the template");
  CO_TRY(describe_state(state.get(), manifest), "save the template");
  CO_TRY(keep_memory(order, manifest), "save the template");
  (void)co_await machine->stop(std::chrono::milliseconds(0));
  manifest.build_ms = watch.us() / 1000;
  co_return manifest;
}

}  // namespace agentvm::vmm
