// The guest of the KVM probe: a page of 64-bit kernel-mode code that does what Linux does early and
// what a KVM that emulates guest kernels cannot: cmpxchg16b, a breakpoint through an IDT, a write
// to CR4, xsave and xrstor. It reports by one byte to an I/O port.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "vmm/accelerator.h"

namespace agentvm::vmm {

// Guest-physical layout, identity-mapped by one 2 MiB page.
struct KvmProbeLayout {
  static constexpr std::size_t kSize = 0x10000;
  static constexpr std::uint64_t kPml4 = 0x1000;
  static constexpr std::uint64_t kPdpt = 0x2000;
  static constexpr std::uint64_t kPageDirectory = 0x3000;
  static constexpr std::uint64_t kGdt = 0x4000;
  static constexpr std::uint64_t kIdt = 0x5000;
  static constexpr std::uint64_t kCode = 0x6000;
  static constexpr std::uint64_t kStackTop = 0x8000;
  static constexpr std::uint64_t kData = 0x9000;  // 16 KiB: an xsave area and two words
  static constexpr std::uint16_t kGdtLimit = 0x17;
  static constexpr std::uint16_t kIdtLimit = 0xfff;
  static constexpr std::uint16_t kCodeSelector = 0x08;
  static constexpr std::uint16_t kDataSelector = 0x10;
};

// Where the guest writes its verdict: kKvmProbeMagic, or which step computed wrong.
inline constexpr std::uint16_t kKvmProbePort = 0xf4;
inline constexpr std::uint8_t kKvmProbeMagic = 0x2a;

// Fills guest memory of KvmProbeLayout::kSize zero bytes.
void lay_out_kvm_probe(std::span<std::byte> memory);

// How the guest stopped, as struct kvm_run says it.
struct KvmProbeExit {
  std::uint32_t reason = 0;  // KVM_EXIT_*
  bool io_out = false;
  std::uint16_t io_port = 0;
  std::uint8_t io_value = 0;
  std::uint32_t suberror = 0;         // of KVM_EXIT_INTERNAL_ERROR
  std::uint64_t hardware_reason = 0;  // of KVM_EXIT_FAIL_ENTRY
};

// The verdict, without `seconds`.
[[nodiscard]] KvmProbe interpret_kvm_probe(const KvmProbeExit& exit, const std::string& device);

}  // namespace agentvm::vmm
