#include "vmm/machine_restore.h"

#include <sys/wait.h>
#include <unistd.h>

#include "oci/base/try.h"
#include "vmm/backend_devices.h"
#include "vmm/guest_memory.h"
#include "vmm/machine_parts.h"

namespace agentvm::vmm {

namespace {

Task<void> await_copy(Child& copy) {
  auto ended = co_await copy.wait();
  const int status = CO_TRY(std::move(ended));
  if (WIFSIGNALED(status)) {
    co_return fail(ErrorKind::unavailable, "copy the template's memory: the copier was killed");
  }
  if (WEXITSTATUS(status) != 0) {
    co_return fail_errno(WEXITSTATUS(status), "copy the template's memory");
  }
  co_return Result<void>{};
}

}  // namespace

Result<GuestMemory> begin_memory(const MachineConfig& config) {
  GuestMemory memory;
  if (config.memory_file.empty()) return memory;
  const uid_t owner = config.jail ? qemu_uid(::getpid()) : ::geteuid();
  memory.file = TRY(make_memory_file(config.memory_file, config.memory_mib, owner));
  if (config.start == MachineStart::restore) {
    memory.copy = TRY(start_memory_copy(config.saved.memory, memory.file.get()));
  }
  return memory;
}

Task<void> restore_guest(const MachineConfig& config, Qmp& qmp, GuestMemory& memory,
                         const Stopwatch& watch, BootTimings& timings) {
  auto copied = co_await await_copy(*memory.copy);
  CO_TRY(std::move(copied));
  timings.memory_copied_us = watch.us();
  auto loaded = co_await qmp.load_state(config.saved.state, config.boot_timeout);
  CO_TRY(std::move(loaded), "load the template's state");
  timings.state_loaded_us = watch.us();
  auto vsock = co_await qmp.device_add(vsock_device(), config.boot_timeout);
  CO_TRY(std::move(vsock), "plug the vsock device");
  auto shared = co_await qmp.device_add(shared_device(), config.boot_timeout);
  CO_TRY(std::move(shared), "plug the shared directory");
  auto resumed = co_await qmp.cont(config.boot_timeout);
  CO_TRY(std::move(resumed));
  timings.resumed_us = watch.us();
  co_return Result<void>{};
}

}  // namespace agentvm::vmm
