#include "vmm/kvm_probe_guest.h"

#include <fmt/format.h>
#include <linux/kvm.h>

#include <cstring>

using Layout = agentvm::vmm::KvmProbeLayout;

// Runs at Layout::kCode; refers to nothing by address but the layout's constants.
asm(R"(
    .pushsection .rodata.kvm_probe, "a"
    .code64
    .global agentvm_kvm_probe_begin, agentvm_kvm_probe_handler, agentvm_kvm_probe_end
agentvm_kvm_probe_begin:
    mov  $0x9000, %rdi              # data: what cmpxchg16b compares with zero and replaces
    xor  %eax, %eax
    xor  %edx, %edx
    mov  $0x11, %rbx
    mov  $0x22, %rcx
    lock cmpxchg16b (%rdi)
    mov  $1, %al                    # step 1 went wrong
    jnz  9f
    cmpq $0x22, 8(%rdi)
    jne  9f

    xor  %r15, %r15
    int3                            # its handler counts in r15
    mov  $2, %al
    cmp  $1, %r15
    jne  9f

    mov  %cr4, %rax
    or   $0x600, %rax               # OSFXSR, OSXMMEXCPT
    mov  %rax, %cr4
    mov  $1, %eax
    cpuid
    bt   $26, %ecx                  # XSAVE
    jnc  8f
    mov  %cr4, %rax
    or   $0x40000, %rax             # OSXSAVE
    mov  %rax, %cr4
    xor  %ecx, %ecx
    mov  $3, %eax                   # x87 and SSE
    xor  %edx, %edx
    xsetbv
    mov  $0x9040, %rdi
    mov  $3, %eax
    xor  %edx, %edx
    xsave  (%rdi)
    xrstor (%rdi)
8:  mov  $0x2a, %al
9:  out  %al, $0xf4
    hlt
    jmp  9b
    .balign 16
agentvm_kvm_probe_handler:
    inc  %r15
    iretq
agentvm_kvm_probe_end:
    .popsection
)");

extern "C" const unsigned char agentvm_kvm_probe_begin[];
extern "C" const unsigned char agentvm_kvm_probe_handler[];
extern "C" const unsigned char agentvm_kvm_probe_end[];

namespace agentvm::vmm {

namespace {

// What the assembler text spells as numbers.
static_assert(Layout::kData == 0x9000 && kKvmProbeMagic == 0x2a && kKvmProbePort == 0xf4);

constexpr std::uint64_t kPresentWritable = 0x3;
constexpr std::uint64_t kLargePage = 0x80;
constexpr std::uint64_t kCodeDescriptor = 0x00af'9b00'0000'ffff;  // 64 bit, CPL 0
constexpr std::uint64_t kDataDescriptor = 0x00cf'9300'0000'ffff;
constexpr std::size_t kBreakpointVector = 3;

void store(std::span<std::byte> memory, std::uint64_t at, std::uint64_t value) {
  std::memcpy(memory.data() + at, &value, sizeof value);
}

// An interrupt gate of 64-bit mode (Intel SDM vol. 3, 6.14.1).
void store_gate(std::span<std::byte> memory, std::size_t vector, std::uint64_t handler) {
  constexpr std::uint64_t kPresentInterruptGate = 0x8e00;
  const std::uint64_t low = (handler & 0xffff) | std::uint64_t{Layout::kCodeSelector} << 16 |
                            kPresentInterruptGate << 32 | (handler >> 16 & 0xffff) << 48;
  store(memory, Layout::kIdt + 16 * vector, low);
  store(memory, Layout::kIdt + 16 * vector + 8, handler >> 32);
}

KvmProbe unusable(std::string reason) {
  return {false, std::move(reason), 0, true};
}

}  // namespace

void lay_out_kvm_probe(std::span<std::byte> memory) {
  store(memory, Layout::kPml4, Layout::kPdpt | kPresentWritable);
  store(memory, Layout::kPdpt, Layout::kPageDirectory | kPresentWritable);
  store(memory, Layout::kPageDirectory, kLargePage | kPresentWritable);
  store(memory, Layout::kGdt + Layout::kCodeSelector, kCodeDescriptor);
  store(memory, Layout::kGdt + Layout::kDataSelector, kDataDescriptor);
  const auto handler =
      static_cast<std::uint64_t>(agentvm_kvm_probe_handler - agentvm_kvm_probe_begin);
  store_gate(memory, kBreakpointVector, Layout::kCode + handler);
  std::memcpy(memory.data() + Layout::kCode, agentvm_kvm_probe_begin,
              static_cast<std::size_t>(agentvm_kvm_probe_end - agentvm_kvm_probe_begin));
}

KvmProbe interpret_kvm_probe(const KvmProbeExit& exit, const std::string& device) {
  if (exit.reason == KVM_EXIT_IO && exit.io_out && exit.io_port == kKvmProbePort) {
    if (exit.io_value == kKvmProbeMagic) {
      return {true, fmt::format("{} runs guest kernel code natively", device), 0, true};
    }
    return unusable(fmt::format("{} opens but computes wrong in guest kernel code (step {})",
                                device, exit.io_value));
  }
  if (exit.reason == KVM_EXIT_INTERNAL_ERROR) {
    return unusable(
        fmt::format("{} opens but emulates guest kernel code (software KVM) and gave "
                    "up on an instruction that Linux needs (suberror {})",
                    device, exit.suberror));
  }
  if (exit.reason == KVM_EXIT_FAIL_ENTRY) {
    return unusable(
        fmt::format("{} opens but the processor refuses to enter a guest (reason "
                    "{:#x}): is virtualization enabled in the firmware?",
                    device, exit.hardware_reason));
  }
  if (exit.reason == KVM_EXIT_SHUTDOWN) {
    return unusable(fmt::format("{} opens but its guest ended in a triple fault", device));
  }
  return unusable(fmt::format(
      "{} opens but its guest stopped in an unexpected way (exit reason {})", device, exit.reason));
}

}  // namespace agentvm::vmm
