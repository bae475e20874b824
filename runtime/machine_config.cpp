#include "runtime/machine_config.h"

#include "oci/base/try.h"
#include "runtime/vm_host.h"

namespace agentvm::runtime {

Result<PlannedMachine> plan_machine(const Config& config, const VmSize& size) {
  const VmPrograms programs = TRY(find_vm_programs(config));
  PlannedMachine planned;
  planned.accelerator = TRY(choose_accelerator(config));
  vmm::MachineConfig& machine = planned.config;
  machine.qemu = programs.qemu;
  machine.virtiofsd = programs.virtiofsd;
  machine.vsock_backend = programs.vsock_backend;
  machine.kernel = programs.kernel;
  machine.initramfs = programs.initramfs;
  machine.kernel_parameters = config.vm.kernel_parameters;
  machine.accelerator = planned.accelerator.accelerator;
  machine.vcpus = size.vcpus;
  machine.memory_mib = size.memory_mib;
  machine.most = {size.max_vcpus, size.max_memory_mib};
  machine.tsc_khz = cached_tsc_khz();
  machine.kvm_device = config.vm.kvm_device;
  machine.boot_timeout = config.vm.boot_timeout;
  machine.jail = config.security.jail == JailChoice::on;
  return planned;
}

Result<PlannedMachine> plan_default_machine(const Config& config) {
  const HostSize host = TRY(host_size());
  const VmSize size = TRY(vm_size(oci::Spec{}, config, host));
  return plan_machine(config, size);
}

}  // namespace agentvm::runtime
