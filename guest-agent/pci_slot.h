// A place where the host plugs devices: a PCIe root port of the machine, at PCI address
// 0000:00:(16 + number).0. The guest's kernel runs without a hot-plug driver (pcie_ports=compat)
// and looks when it is told to, which is much faster than the events that the driver waits out:
// docs/decisions/0003-templates.md.
#pragma once

#include <string>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"

namespace agentvm::guest {

class PciSlot {
 public:
  // not_found: the machine has no such port.
  [[nodiscard]] static Result<PciSlot> open(unsigned number);

  // Turns the slot's power on, without which a plugged device cannot be seen (PCI Express Base
  // Specification, 7.5.3.10, Slot Control). It stays on.
  [[nodiscard]] Result<void> power_on() const;
  // The machine unplugs what is in it.
  [[nodiscard]] Result<void> power_off() const;
  // Looks for what has been plugged; its driver is bound when this returns. True: there is a
  // device.
  [[nodiscard]] Result<bool> look() const;
  // The kernel's name of the network interface that the device in the slot has.
  [[nodiscard]] Result<std::string> network_interface() const;
  // The kernel's name of the disk that the device in the slot is.
  [[nodiscard]] Result<std::string> block_device() const;
  // Its driver lets go of the device. Fine when there is none.
  [[nodiscard]] Result<void> remove() const;

 private:
  [[nodiscard]] Result<void> set_power(unsigned bits) const;
  [[nodiscard]] std::string device() const;
  [[nodiscard]] Result<std::string> name_in(const char* kind) const;

  PciSlot(UniqueFd port, std::string bus) : port_(std::move(port)), bus_(std::move(bus)) {}
  UniqueFd port_;    // the port's directory in sysfs
  std::string bus_;  // of the bus below it, relative: "pci_bus/0000:01"
};

}  // namespace agentvm::guest
