#include "vmm/nic.h"

#include <fmt/format.h>

#include <array>
#include <cstdio>

#include "oci/base/try.h"
#include "vmm/slots.h"

namespace agentvm::vmm {

namespace {

constexpr int kMacBytes = 6;

std::string device_name(unsigned slot) {
  return fmt::format("nic{}", slot);
}

std::string backend_name(unsigned slot) {
  return fmt::format("net{}", slot);
}

std::string mac_text(const std::string& mac) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(mac[i]); };
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", byte(0), byte(1), byte(2),
                     byte(3), byte(4), byte(5));
}

QmpDevice device_of(const Nic& nic) {
  QmpDevice device{"virtio-net-pci", device_name(nic.slot), slot_name(nic.slot), {}};
  device.properties.emplace_back("netdev", backend_name(nic.slot));
  device.properties.emplace_back("mac", mac_text(nic.mac));
  device.properties.emplace_back("host_mtu", std::int64_t{nic.mtu});
  // Nobody boots from it, and the jail has no ROMs.
  device.properties.emplace_back("romfile", "");
  return device;
}

}  // namespace

std::string encode_nic(const Nic& nic) {
  return fmt::format("{} {} {}", nic.slot, nic.mtu, mac_text(nic.mac));
}

Result<Nic> decode_nic(const std::string& line) {
  Nic nic;
  std::array<unsigned char, kMacBytes> mac{};
  const int fields = std::sscanf(line.c_str(), "%u %u %hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &nic.slot,
                                 &nic.mtu, &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]);
  if (fields != 2 + kMacBytes || nic.slot < kFirstNicSlot ||
      nic.slot >= kFirstNicSlot + kNicSlots) {
    return fail(ErrorKind::invalid_argument, "this is no network card");
  }
  nic.mac.assign(mac.begin(), mac.end());
  return nic;
}

Task<void> plug_nic(Qmp& qmp, Nic nic, std::chrono::milliseconds timeout) {
  const std::string backend = backend_name(nic.slot);
  auto given = co_await qmp.getfd(backend, nic.tap.get(), timeout);
  CO_TRY(std::move(given), "give QEMU a tap");
  QmpTap tap{backend, backend};  // named: g++ 12 destroys a braced argument of a coroutine twice
  auto added = co_await qmp.netdev_add(std::move(tap), timeout);
  CO_TRY(std::move(added), "give QEMU a tap");
  auto plugged = co_await qmp.device_add(device_of(nic), timeout);
  if (plugged) co_return Result<void>{};
  (void)co_await qmp.netdev_del(backend, timeout);
  co_return std::unexpected(std::move(plugged).error().wrap("plug a network card"));
}

Task<void> unplug_nic(Qmp& qmp, unsigned slot, std::chrono::milliseconds timeout) {
  // Refused when the guest's turning the slot off has unplugged the card already.
  (void)co_await qmp.device_del(device_name(slot), timeout);
  auto deleted = co_await qmp.netdev_del(backend_name(slot), timeout);
  CO_TRY(std::move(deleted), "take a tap from QEMU");
  co_return Result<void>{};
}

}  // namespace agentvm::vmm
