#include "guest-agent/pci_slot.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/pci_regs.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "oci/base/remove_tree.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "rpc/guest_contract.h"

namespace agentvm::guest {

namespace {

constexpr unsigned kLastDevice = 30;
// A list of capabilities that is longer goes in circles.
constexpr int kMaxCapabilities = 48;

template <class T>
Result<T> read_config(int config, unsigned offset) {
  T value{};
  if (::pread(config, &value, sizeof value, offset) != static_cast<ssize_t>(sizeof value)) {
    return fail_errno(errno, "read the port's configuration space");
  }
  return value;
}

Result<unsigned> find_express_capability(int config) {
  auto at = TRY(read_config<std::uint8_t>(config, PCI_CAPABILITY_LIST));
  for (int i = 0; at != 0 && i < kMaxCapabilities; ++i) {
    const auto id = TRY(read_config<std::uint8_t>(config, at));
    if (id == PCI_CAP_ID_EXP) return at;
    at = TRY(read_config<std::uint8_t>(config, at + 1U));
  }
  return fail(ErrorKind::unavailable, "the port is no PCI Express port");
}

// The only entry of pci_bus/: the bus below the port.
Result<std::string> find_bus(int port) {
  const auto fd = TRY(sys::open_at(port, "pci_bus", O_RDONLY | O_DIRECTORY));
  const auto names = TRY(list_names(fd.get()));
  if (names.empty()) return fail(ErrorKind::unavailable, "the port has no bus");
  return "pci_bus/" + names.front();
}

}  // namespace

Result<PciSlot> PciSlot::open(unsigned number) {
  if (number > kLastDevice - rpc::kFirstSlotDevice) {
    return fail(ErrorKind::invalid_argument, fmt::format("there is no slot {}", number));
  }
  const std::string path =
      fmt::format("/sys/bus/pci/devices/0000:00:{:02x}.0", rpc::kFirstSlotDevice + number);
  auto port = TRY(sys::open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY), "open slot {}", number);
  auto bus = TRY(find_bus(port.get()), "open slot {}", number);
  return PciSlot(std::move(port), std::move(bus));
}

Result<void> PciSlot::set_power(unsigned bits) const {
  const auto config = TRY(sys::open_at(port_.get(), "config", O_RDWR));
  const unsigned control = TRY(find_express_capability(config.get())) + PCI_EXP_SLTCTL;
  auto value = TRY(read_config<std::uint16_t>(config.get(), control));
  value = static_cast<std::uint16_t>(value & ~(PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_PIC));
  value = static_cast<std::uint16_t>(value | bits);
  if (::pwrite(config.get(), &value, sizeof value, control) != sizeof value) {
    return fail_errno(errno, "turn the slot's power on or off");
  }
  return {};
}

Result<void> PciSlot::power_on() const {
  return set_power(PCI_EXP_SLTCTL_PWR_IND_ON | PCI_EXP_SLTCTL_PWR_ON);
}

Result<void> PciSlot::power_off() const {
  return set_power(PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PWR_OFF);
}

Result<bool> PciSlot::look() const {
  const auto rescan = TRY(sys::open_at(port_.get(), bus_ + "/rescan", O_WRONLY));
  if (::write(rescan.get(), "1", 1) != 1) return fail_errno(errno, "look into the slot");
  struct stat status{};
  return ::fstatat(port_.get(), device().c_str(), &status, 0) == 0;
}

// The device of an Express port has number 0: "0000:01:00.0".
std::string PciSlot::device() const {
  return bus_.substr(bus_.find('/') + 1) + ":00.0";
}

// The only entry of "virtioN/<kind>/" of the device: what its driver calls it.
Result<std::string> PciSlot::name_in(const char* kind) const {
  const auto fd = TRY(sys::open_at(port_.get(), device(), O_RDONLY | O_DIRECTORY));
  for (const std::string& name : TRY(list_names(fd.get()))) {
    if (!name.starts_with("virtio")) continue;
    const auto made = sys::open_at(fd.get(), name + "/" + kind, O_RDONLY | O_DIRECTORY);
    if (!made) continue;
    const auto names = TRY(list_names(made->get()));
    if (!names.empty()) return names.front();
  }
  return fail(ErrorKind::unavailable, fmt::format("the device in the slot is no {} device", kind));
}

Result<std::string> PciSlot::network_interface() const {
  return name_in("net");
}

Result<std::string> PciSlot::block_device() const {
  return name_in("block");
}

Result<void> PciSlot::remove() const {
  const auto remove = sys::open_at(port_.get(), device() + "/remove", O_WRONLY);
  if (!remove && remove.error().errnum == ENOENT) return {};
  if (!remove) return std::unexpected(remove.error());
  if (::write(remove->get(), "1", 1) != 1) return fail_errno(errno, "remove the device");
  return {};
}

}  // namespace agentvm::guest
