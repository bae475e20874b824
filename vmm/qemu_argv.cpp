#include "vmm/qemu_argv.h"

#include <fmt/format.h>

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

void append_vhost_user(Argv& argv, const std::string& id, int fd, const std::string& device) {
  append(argv, {"-chardev", fmt::format("socket,id={}-socket,fd={}", id, fd), "-device",
                fmt::format("{},id={},chardev={}-socket", device, id, id)});
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
  append(argv, {"-smp", fmt::format("{}", description.vcpus)});
  append(argv, {"-m", fmt::format("{}M", description.memory_mib)});
  // Shared, since vhost-user backends map it.
  append(argv, {"-object", fmt::format("memory-backend-memfd,id=memory,size={}M,share=on",
                                       description.memory_mib)});
  append(argv, {"-kernel", description.kernel, "-initrd", description.initramfs, "-append",
                description.command_line});
  append(argv, {"-chardev", fmt::format("socket,id=qmp-socket,fd={}", fds.qmp), "-mon",
                "chardev=qmp-socket,mode=control"});
  append(argv, {"-chardev", fmt::format("socket,id=console-socket,fd={}", fds.console), "-serial",
                "chardev:console-socket"});
  append_vhost_user(argv, "vsock", fds.vsock, "vhost-user-vsock-pci");
  if (fds.shared >= 0) {
    append_vhost_user(argv, "shared", fds.shared,
                      fmt::format("vhost-user-fs-pci,queue-size=1024,tag={}", kSharedTag));
  }
  for (std::uint32_t port = 0; port < description.hotplug_ports; ++port) {
    append(argv, {"-device", fmt::format("pcie-root-port,id=hotplug{},chassis={},slot={}", port,
                                         port + 1, port + 1)});
  }
  return argv;
}

std::string kernel_command_line(const CommandLineDescription& description) {
  std::string line =
      "console=ttyS0 quiet panic=-1 random.trust_cpu=on 8250.nr_uarts=1 cryptomgr.notests";
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
