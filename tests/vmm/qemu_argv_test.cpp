#include "vmm/qemu_argv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentvm::vmm {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

QemuDescription small_machine() {
  QemuDescription machine;
  machine.program = "/usr/bin/qemu-system-x86_64";
  machine.vcpus = 2;
  machine.memory_mib = 768;
  machine.kernel = "/guest/kernel";
  machine.initramfs = "/guest/initramfs";
  machine.command_line = "console=ttyS0";
  machine.fds = {3, 4, 5, 6};
  return machine;
}

TEST(QemuArgv, IsExactlyThisForASoftwareMachine) {
  EXPECT_THAT(
      qemu_argv(small_machine()),
      ElementsAre(
          "/usr/bin/qemu-system-x86_64", "-no-user-config", "-nodefaults", "-display", "none",
          "-no-reboot", "-sandbox",
          "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny", "-machine",
          "q35,memory-backend=memory,dump-guest-core=off,hpet=off,i8042=off,sata=off,smbus=off,"
          "usb=off,vmport=off",
          "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,-erms,-fsrm", "-smp", "2", "-m", "768M",
          "-object", "memory-backend-memfd,id=memory,size=768M,share=on", "-kernel",
          "/guest/kernel", "-initrd", "/guest/initramfs", "-append", "console=ttyS0", "-chardev",
          "socket,id=qmp-socket,fd=3", "-mon", "chardev=qmp-socket,mode=control", "-chardev",
          "socket,id=console-socket,fd=4", "-serial", "chardev:console-socket", "-chardev",
          "socket,id=vsock-socket,fd=5", "-device",
          "vhost-user-vsock-pci,id=vsock,chardev=vsock-socket", "-chardev",
          "socket,id=shared-socket,fd=6", "-device",
          "vhost-user-fs-pci,queue-size=1024,tag=shared,id=shared,chardev=shared-socket"));
}

TEST(QemuArgv, PassesTheHostsProcessorThroughWithKvm) {
  QemuDescription machine = small_machine();
  machine.accelerator = Accelerator::kvm;
  const auto argv = qemu_argv(machine);
  EXPECT_THAT(argv, Contains("kvm"));
  EXPECT_THAT(argv, Contains("host"));
  EXPECT_THAT(argv, Not(Contains(HasSubstr("max"))));
}

TEST(QemuArgv, AddsRootPortsOnlyWhenAskedFor) {
  QemuDescription machine = small_machine();
  EXPECT_THAT(qemu_argv(machine), Not(Contains("pcie-root-port,id=hotplug0,chassis=1,slot=1")));
  machine.hotplug_ports = 2;
  const auto argv = qemu_argv(machine);
  EXPECT_THAT(argv, Contains("pcie-root-port,id=hotplug0,chassis=1,slot=1"));
  EXPECT_THAT(argv, Contains("pcie-root-port,id=hotplug1,chassis=2,slot=2"));
}

TEST(QemuArgv, CanDoWithoutASharedDirectory) {
  QemuDescription machine = small_machine();
  machine.fds.shared = -1;
  for (const std::string& word : qemu_argv(machine)) {
    EXPECT_EQ(word.find("shared-socket"), std::string::npos) << word;
  }
}

TEST(KernelCommandLine, TellsASoftwareGuestTheHostsClock) {
  EXPECT_EQ(kernel_command_line({Accelerator::tcg, 2'500'000, "loglevel=7"}),
            "console=ttyS0 quiet panic=-1 random.trust_cpu=on 8250.nr_uarts=1 cryptomgr.notests "
            "no_timer_check init_on_alloc=0 tsc_early_khz=2500000 tsc=reliable loglevel=7");
}

TEST(KernelCommandLine, LeavesTheClockToKvmAndToCalibration) {
  EXPECT_EQ(kernel_command_line({Accelerator::kvm, 2'500'000, ""}),
            "console=ttyS0 quiet panic=-1 random.trust_cpu=on 8250.nr_uarts=1 cryptomgr.notests");
  EXPECT_EQ(kernel_command_line({Accelerator::tcg, 0, ""}),
            "console=ttyS0 quiet panic=-1 random.trust_cpu=on 8250.nr_uarts=1 cryptomgr.notests "
            "no_timer_check init_on_alloc=0");
}

}  // namespace
}  // namespace agentvm::vmm
