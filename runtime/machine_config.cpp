#include "runtime/machine_config.h"

namespace agentvm::runtime {

vmm::MachineConfig machine_config(const Config& config, const VmPrograms& programs,
                                  const VmSize& size, vmm::Accelerator accelerator,
                                  std::uint64_t tsc_khz) {
  vmm::MachineConfig machine;
  machine.qemu = programs.qemu;
  machine.virtiofsd = programs.virtiofsd;
  machine.vsock_backend = programs.vsock_backend;
  machine.kernel = programs.kernel;
  machine.initramfs = programs.initramfs;
  machine.kernel_parameters = config.vm.kernel_parameters;
  machine.accelerator = accelerator;
  machine.vcpus = size.vcpus;
  machine.memory_mib = size.memory_mib;
  machine.tsc_khz = tsc_khz;
  machine.kvm_device = config.vm.kvm_device;
  machine.boot_timeout = config.vm.boot_timeout;
  machine.jail = config.security.jail == JailChoice::on;
  return machine;
}

}  // namespace agentvm::runtime
