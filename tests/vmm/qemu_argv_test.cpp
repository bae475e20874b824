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
          "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,-erms,-fsrm", "-smp", "2", "-m",
          "768M", "-object", "memory-backend-memfd,id=memory,size=768M,share=on", "-kernel",
          "/guest/kernel", "-initrd", "/guest/initramfs", "-append", "console=ttyS0", "-chardev",
          "socket,id=qmp-socket,fd=3", "-mon", "chardev=qmp-socket,mode=control", "-chardev",
          "socket,id=console-socket,fd=4", "-serial", "chardev:console-socket", "-global",
          "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",              //
          "-device", "pcie-root-port,id=slot0,chassis=1,slot=1,addr=0x10",  //
          "-device", "pcie-root-port,id=slot1,chassis=2,slot=2,addr=0x11",  //
          "-device", "pcie-root-port,id=slot2,chassis=3,slot=3,addr=0x12",  //
          "-device", "pcie-root-port,id=slot3,chassis=4,slot=4,addr=0x13",  //
          "-device", "pcie-root-port,id=slot4,chassis=5,slot=5,addr=0x14",  //
          "-device", "pcie-root-port,id=slot5,chassis=6,slot=6,addr=0x15",  //
          "-device", "pcie-root-port,id=slot6,chassis=7,slot=7,addr=0x16",  //
          "-device", "pcie-root-port,id=slot7,chassis=8,slot=8,addr=0x17",  //
          "-chardev", "socket,id=vsock-socket,fd=5", "-device",
          "vhost-user-vsock-pci,id=vsock,chardev=vsock-socket,bus=slot0", "-chardev",
          "socket,id=shared-socket,fd=6", "-device",
          "vhost-user-fs-pci,id=shared,chardev=shared-socket,bus=slot1,queue-size=1024,"
          "tag=shared"));
}

TEST(QemuArgv, PassesTheHostsProcessorThroughWithKvm) {
  QemuDescription machine = small_machine();
  machine.accelerator = Accelerator::kvm;
  const auto argv = qemu_argv(machine);
  EXPECT_THAT(argv, Contains("kvm"));
  EXPECT_THAT(argv, Contains("host"));
  EXPECT_THAT(argv, Not(Contains(HasSubstr("max"))));
}

// A state that was saved by one of these is loaded into the other.
TEST(QemuArgv, IsTheSameMachineForATemplateAndForWhatIsRestoredFromIt) {
  QemuDescription saved = small_machine();
  saved.start = MachineStart::make_template;
  saved.memory_file = "/guest/memory";
  saved.fds.vsock = saved.fds.shared = -1;
  QemuDescription restored = small_machine();
  restored.start = MachineStart::restore;
  restored.memory_file = "/guest/memory";
  const auto before = qemu_argv(saved);
  const auto after = qemu_argv(restored);
  for (const auto& argv : {before, after}) {
    EXPECT_THAT(argv, Not(Contains(HasSubstr("vhost-user"))));
    EXPECT_THAT(argv, Contains("memory-backend-file,id=memory,mem-path=/guest/memory,size=768M,"
                               "share=on"));
  }
  EXPECT_THAT(before, Contains("-kernel"));
  EXPECT_THAT(after, Not(Contains("-kernel")));
  EXPECT_THAT(after, Contains("-incoming"));
  EXPECT_THAT(after, Contains("socket,id=vsock-socket,fd=5"));
  EXPECT_THAT(after, Contains("socket,id=shared-socket,fd=6"));
  const auto devices = [](const std::vector<std::string>& argv) {
    std::vector<std::string> found;
    for (std::size_t i = 1; i < argv.size(); ++i) {
      if (argv[i - 1] == "-device" || argv[i - 1] == "-machine") found.push_back(argv[i]);
    }
    return found;
  };
  EXPECT_EQ(devices(before), devices(after));
}

TEST(QemuArgv, ReservesPlaceForWhatMayBePlugged) {
  QemuDescription machine = small_machine();
  machine.max_vcpus = 4;
  machine.max_memory_mib = 4096;
  auto argv = qemu_argv(machine);
  EXPECT_THAT(argv, Contains("2,maxcpus=4"));
  EXPECT_THAT(argv, Contains("768M,maxmem=4096M"));
  machine.max_vcpus = 2;
  machine.max_memory_mib = 768;
  argv = qemu_argv(machine);
  EXPECT_EQ(argv, qemu_argv(small_machine()));
}

TEST(QemuArgv, DoublesTheCommasOfAPath) {
  QemuDescription machine = small_machine();
  machine.memory_file = "/a,b/memory";
  EXPECT_THAT(qemu_argv(machine), Contains(HasSubstr("mem-path=/a,,b/memory,size")));
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
            "pcie_ports=compat swiotlb=noforce no_timer_check init_on_alloc=0 "
            "tsc_early_khz=2500000 tsc=reliable "
            "loglevel=7");
}

TEST(KernelCommandLine, LeavesTheClockToKvmAndToCalibration) {
  EXPECT_EQ(kernel_command_line({Accelerator::kvm, 2'500'000, ""}),
            "console=ttyS0 quiet panic=-1 random.trust_cpu=on 8250.nr_uarts=1 cryptomgr.notests "
            "pcie_ports=compat swiotlb=noforce");
  EXPECT_EQ(kernel_command_line({Accelerator::tcg, 0, ""}),
            "console=ttyS0 quiet panic=-1 random.trust_cpu=on 8250.nr_uarts=1 cryptomgr.notests "
            "pcie_ports=compat swiotlb=noforce no_timer_check init_on_alloc=0");
}

}  // namespace
}  // namespace agentvm::vmm
