// A machine as QEMU's command line: a pure function of its description.
// Why the machine looks like this: docs/decisions/0001-qemu-machine.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/accelerator.h"

namespace agentvm::vmm {

// What a machine is started for.
enum class MachineStart : std::uint8_t {
  boot,  // the kernel, with all devices
  // The kernel, without the devices that QEMU cannot save, to become a template.
  make_template,
  // From a template: QEMU waits for the saved state, the other devices are plugged after it.
  restore,
};

// The file descriptors are numbers in QEMU's own table, inherited and connected.
struct QemuFds {
  int qmp = -1;
  int console = -1;
  int vsock = -1;   // vhost-user; not with make_template
  int shared = -1;  // vhost-user; -1: no virtiofs device
  friend bool operator==(const QemuFds&, const QemuFds&) = default;
};

struct QemuDescription {
  std::string program;  // argv[0]
  MachineStart start = MachineStart::boot;
  Accelerator accelerator = Accelerator::tcg;
  std::uint32_t vcpus = 1;
  std::uint64_t memory_mib = 512;
  // What may be plugged later, up to these totals; 0: nothing.
  std::uint32_t max_vcpus = 0;
  std::uint64_t max_memory_mib = 0;
  // As QEMU sees it: a file of the memory's size; "": memory of QEMU's own.
  std::string memory_file;
  std::string kernel;     // as QEMU sees it; not with restore
  std::string initramfs;  // as QEMU sees it; not with restore
  std::string command_line;
  QemuFds fds;
  friend bool operator==(const QemuDescription&, const QemuDescription&) = default;
};

// The tag under which the guest mounts the shared directory.
inline constexpr const char* kSharedTag = "shared";

[[nodiscard]] std::vector<std::string> qemu_argv(const QemuDescription& description);

// The chardevs of the vhost-user devices.
inline constexpr const char* kVsockChardev = "vsock-socket";
inline constexpr const char* kSharedChardev = "shared-socket";

struct CommandLineDescription {
  Accelerator accelerator = Accelerator::tcg;
  std::uint64_t tsc_khz = 0;  // of the host; 0: unknown
  std::string extra;          // appended: the last of two equal parameters wins
  friend bool operator==(const CommandLineDescription&, const CommandLineDescription&) = default;
};

// The guest kernel's parameters.
[[nodiscard]] std::string kernel_command_line(const CommandLineDescription& description);

}  // namespace agentvm::vmm
