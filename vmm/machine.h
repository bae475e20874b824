// One virtual machine as the runtime sees it: described, started, reached, ended. Everything the
// machine consists of (QEMU, virtiofsd, the vsock backend) is a child of the calling process,
// dies with it (PDEATHSIG) and runs confined (vmm/jail.h).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"
#include "vmm/accelerator.h"
#include "vmm/disk.h"
#include "vmm/nic.h"
#include "vmm/qemu_argv.h"

namespace agentvm::vmm {

// Where a restored machine comes from: files of a template, borrowed, open for reading.
struct SavedGuest {
  int memory = -1;
  int state = -1;
};

// What a guest may use.
struct MachineSize {
  std::uint32_t vcpus = 0;
  std::uint64_t memory_mib = 0;
  friend bool operator==(const MachineSize&, const MachineSize&) = default;
};

struct MachineConfig {
  MachineStart start = MachineStart::boot;
  std::string qemu;           // path of qemu-system-x86_64
  std::string virtiofsd;      // path of virtiofsd, Debian 12's (C) or Debian 13's (Rust)
  std::string vsock_backend;  // path of agentvm-vsock
  std::string kernel;         // vmlinux with a PVH note
  std::string initramfs;
  std::string kernel_parameters;               // appended to ours
  Accelerator accelerator = Accelerator::tcg;  // already decided: see decide_accelerator()
  std::uint32_t vcpus = 1;
  std::uint64_t memory_mib = 512;
  // How far grow() can go; a side that is not more than the machine has cannot grow.
  MachineSize most;
  std::uint64_t tsc_khz = 0;  // of the host; 0: leave calibration to the guest
  // What virtiofsd shows the guest under tag "shared"; a directory in the caller's mount namespace.
  std::string shared_dir;
  // An O_PATH directory for the sockets "vsock.sock" (hybrid vsock: a client sends "CONNECT N\n"
  // and reads "OK M\n") and, on guest-initiated connections to port N, "vsock.sock_N", which the
  // caller listens on before start.
  // The jailed backend has a uid of its own: create() gives it search permission on the directory
  // (group) and the sockets "vsock.sock_N" that are there.
  int socket_dir = -1;
  std::string kvm_device = "/dev/kvm";  // used with Accelerator::kvm
  std::chrono::milliseconds boot_timeout{60000};
  // Not with `boot`: the guest's memory, a path that does not exist yet in a directory of
  // mount_guest_memory() (vmm/guest_memory.h).
  std::string memory_file;
  SavedGuest saved;  // with `restore`
  bool jail = true;  // false only with the named token of the configuration
};

// Where a start's time went, microseconds since the call.
struct BootTimings {
  std::uint32_t backends_ready_us = 0;  // the last of them has been executed, confined
  std::uint32_t qemu_ready_us = 0;      // QMP answers: a booting guest runs
  // Of a restore, 0 otherwise.
  std::uint32_t memory_copied_us = 0;
  std::uint32_t state_loaded_us = 0;
  std::uint32_t resumed_us = 0;  // devices plugged, the guest runs
};

// Why and how a part of the machine went away.
struct MachineEnd {
  std::string part;     // "qemu", "virtiofsd", "vsock backend"
  int wait_status = 0;  // as waitpid(2) gives it
};

// A machine that runs, whoever started it.
class LiveMachine {
 public:
  virtual ~LiveMachine() = default;

  // Ends when any part of the machine has ended, by itself or by stop().
  virtual Task<MachineEnd> wait_end() = 0;

  // Gives the guest more, up to `total`, which counts what it started with: vCPUs and memory are
  // plugged when this returns, and the guest's to find and to use. What it has more of already
  // stays as it is, so that a call that failed half way may be repeated. failed_precondition past
  // the machine's bounds, and with QEMU's words when it refuses.
  virtual Task<void> grow(MachineSize total) = 0;

  // Ends QEMU by QMP quit, by SIGKILL when that takes longer than `patience`, then the backends;
  // with no patience all of them at once. All are gone when it returns. Idempotent.
  virtual Task<void> stop(std::chrono::milliseconds patience) = 0;

  // See vmm/disk.h.
  virtual Task<void> plug_disk(Disk disk) = 0;
  // See vmm/nic.h.
  virtual Task<void> plug_nic(Nic nic) = 0;
  virtual Task<void> unplug_nic(unsigned slot) = 0;

  // The last lines the guest's console and QEMU's stderr printed, control characters replaced,
  // at most 40 lines; what the guest writes is not to be trusted.
  [[nodiscard]] virtual std::string console_tail() const = 0;

 protected:
  LiveMachine() = default;
};

// One that this process starts. Destruction kills what still runs (SIGKILL) and reaps it.
class Machine : public LiveMachine {
 public:
  // Starts backends and QEMU, all at once; the guest is booting, or runs on from where it was
  // saved, when this returns. With `make_template` there are no backends and no sockets. On failure
  // nothing is left running. The error holds the last lines that the parts printed.
  // The calling process must have one thread and must not reap children that it does not know.
  // `lost`, borrowed: which part ended by itself, when that is why it fails.
  static Task<std::unique_ptr<Machine>> create(MachineConfig config,
                                               std::optional<MachineEnd>* lost = nullptr);

  // Ends when the guest's console has said `text`, a part of a line. Of a guest that is ours alone.
  virtual Task<void> wait_console(std::string text, std::chrono::milliseconds timeout) = 0;

  // With `make_template`: stops the guest for good and writes its state, all but the memory, to
  // `fd`. From then on memory_file holds still.
  virtual Task<void> save(int fd, std::chrono::milliseconds timeout) = 0;

  [[nodiscard]] virtual BootTimings timings() const = 0;
  // Host pids of all parts.
  [[nodiscard]] virtual std::vector<pid_t> pids() const = 0;

 protected:
  Machine() = default;
};

}  // namespace agentvm::vmm
