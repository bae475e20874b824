#include "vmm/qemu_argv.h"

#include <fmt/format.h>

#include "vmm/backend_devices.h"
#include "vmm/slots.h"

namespace agentvm::vmm {

namespace {

// QEMU's default is 1 GiB of translated code per machine, more than the guest's own memory.
constexpr unsigned kTranslationCacheMib = 256;

// A guest that believes in fast string instructions copies with `rep movsb`, which the translator
// carries out byte by byte.
constexpr const char* kTranslatedCpu = "max,-erms,-fsrm";

using Argv = std::vector<std::string>;

void append(Argv& argv, std::initializer_list<std::string> words) {
  argv.insert(argv.end(), words);
}

void append_accelerator(Argv& argv, Accelerator accelerator) {
  switch (accelerator) {
    case Accelerator::kvm:
      return append(argv, {"-accel", "kvm", "-cpu", "host"});
    case Accelerator::tcg:
      return append(
          argv, {"-accel", fmt::format("tcg,thread=multi,tb-size={}", kTranslationCacheMib), "-cpu",
                 kTranslatedCpu});
  }
}

void append_socket(Argv& argv, const char* chardev, int fd) {
  append(argv, {"-chardev", fmt::format("socket,id={},fd={}", chardev, fd)});
}

// QEMU ends a value at a comma that is not doubled.
std::string quoted(const std::string& path) {
  std::string out;
  for (const char c : path) out.append(c == ',' ? 2 : 1, c);
  return out;
}

void append_processors(Argv& argv, const QemuDescription& description) {
  std::string count = fmt::format("{}", description.vcpus);
  if (description.max_vcpus > description.vcpus) {
    count += fmt::format(",maxcpus={}", description.max_vcpus);
  }
  append(argv, {"-smp", count});
}

// Shared, since vhost-user backends map it.
void append_memory(Argv& argv, const QemuDescription& description) {
  const std::string backend =
      description.memory_file.empty()
          ? "memory-backend-memfd,id=memory"
          : "memory-backend-file,id=memory,mem-path=" + quoted(description.memory_file);
  std::string size = fmt::format("{}M", description.memory_mib);
  // No slots: they are for memory that comes by ACPI.
  if (description.max_memory_mib > description.memory_mib) {
    size += fmt::format(",maxmem={}M", description.max_memory_mib);
  }
  append(argv, {"-m", size, "-object",
                fmt::format("{},size={}M,share=on", backend, description.memory_mib)});
}

void append_guest(Argv& argv, const QemuDescription& description) {
  if (description.start == MachineStart::restore) return append(argv, {"-incoming", "defer"});
  append(argv, {"-kernel", description.kernel, "-initrd", description.initramfs, "-append",
                description.command_line});
}

void append_slots(Argv& argv) {
  // The guest is told by us when to look, not by ACPI.
  append(argv, {"-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"});
  for (unsigned slot = 0; slot < kSlots; ++slot) {
    append(argv,
           {"-device", fmt::format("pcie-root-port,id={},chassis={},slot={},addr={:#x}",
                                   slot_name(slot), slot + 1, slot + 1, kFirstSlotDevice + slot)});
  }
}

// A restored machine has the socket; the device is plugged once its state is loaded.
void append_backend(Argv& argv, const QemuDescription& description, const char* chardev, int fd,
                    const QmpDevice& device) {
  if (fd < 0) return;
  append_socket(argv, chardev, fd);
  if (description.start == MachineStart::boot) append(argv, {"-device", device_argument(device)});
}

}  // namespace

std::vector<std::string> qemu_argv(const QemuDescription& description) {
  const QemuFds& fds = description.fds;
  Argv argv{description.program};
  // Nothing that is not named here: no default devices, no configuration files. A guest that
  // reboots or panics ends QEMU. Its memory stays out of core dumps.
  append(argv, {"-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"});
  append(argv,
         {"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"});
  append(argv, {"-machine",
                "q35,memory-backend=memory,dump-guest-core=off,hpet=off,i8042=off,sata=off,"
                "smbus=off,usb=off,vmport=off"});
  append_accelerator(argv, description.accelerator);
  append_processors(argv, description);
  append_memory(argv, description);
  append_guest(argv, description);
  append(argv, {"-chardev", fmt::format("socket,id=qmp-socket,fd={}", fds.qmp), "-mon",
                "chardev=qmp-socket,mode=control"});
  append(argv, {"-chardev", fmt::format("socket,id=console-socket,fd={}", fds.console), "-serial",
                "chardev:console-socket"});
  append_slots(argv);
  append_backend(argv, description, kVsockChardev, fds.vsock, vsock_device());
  append_backend(argv, description, kSharedChardev, fds.shared, shared_device());
  return argv;
}

std::string kernel_command_line(const CommandLineDescription& description) {
  std::string line =
      "console=ttyS0 quiet panic=-1 random.trust_cpu=on 8250.nr_uarts=1 cryptomgr.notests "
      "pcie_ports=compat swiotlb=noforce";
  if (description.accelerator == Accelerator::tcg) {
    line += " no_timer_check init_on_alloc=0";
    // Calibration against an emulated timer takes long and, on a busy host, may never end.
    if (description.tsc_khz != 0) {
      line += fmt::format(" tsc_early_khz={} tsc=reliable", description.tsc_khz);
    }
  }
  if (!description.extra.empty()) line += " " + description.extra;
  return line;
}

}  // namespace agentvm::vmm
