// The machine's places for devices: PCIe root ports. Slot n is QEMU's "slot<n>" at PCI address
// 0000:00:(16 + n).0, which is how the guest's agent finds it (guest-agent/pci_slot.h). The guest's
// kernel does not watch them: a device is plugged first and then the agent is told to look.
#pragma once

#include <fmt/format.h>

#include <string>

namespace agentvm::vmm {

inline constexpr unsigned kVsockSlot = 0;
inline constexpr unsigned kSharedSlot = 1;
inline constexpr unsigned kFirstNicSlot = 2;
inline constexpr unsigned kNicSlots = 4;
inline constexpr unsigned kDiskSlot = 6;         // a container's disk
inline constexpr unsigned kMemorySlot = 7;       // memory given to a running guest
inline constexpr unsigned kSlots = 8;
inline constexpr unsigned kFirstSlotDevice = 16;  // of slot 0, on the root bus

[[nodiscard]] inline std::string slot_name(unsigned slot) {
  return fmt::format("slot{}", slot);
}

}  // namespace agentvm::vmm
