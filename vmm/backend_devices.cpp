#include "vmm/backend_devices.h"

#include <fmt/format.h>

#include <variant>

#include "vmm/qemu_argv.h"
#include "vmm/slots.h"

namespace agentvm::vmm {

namespace {

constexpr std::int64_t kSharedQueueSize = 1024;

std::string text_of(const QmpDevice::Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* number = std::get_if<std::int64_t>(&value)) return fmt::format("{}", *number);
  return std::get<bool>(value) ? "on" : "off";
}

}  // namespace

QmpDevice vsock_device() {
  QmpDevice device{"vhost-user-vsock-pci", "vsock", "", {}};
  device.properties.emplace_back("chardev", kVsockChardev);
  device.properties.emplace_back("bus", slot_name(kVsockSlot));
  return device;
}

QmpDevice shared_device() {
  QmpDevice device{"vhost-user-fs-pci", "shared", "", {}};
  device.properties.emplace_back("chardev", kSharedChardev);
  device.properties.emplace_back("bus", slot_name(kSharedSlot));
  device.properties.emplace_back("queue-size", kSharedQueueSize);
  device.properties.emplace_back("tag", kSharedTag);
  return device;
}

std::string device_argument(const QmpDevice& device) {
  std::string argument = fmt::format("{},id={}", device.driver, device.id);
  for (const auto& [name, value] : device.properties) {
    argument += fmt::format(",{}={}", name, text_of(value));
  }
  return argument;
}

}  // namespace agentvm::vmm
