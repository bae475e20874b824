#include "oci/seccomp_newer_calls.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

namespace agentvm::oci {

namespace {

// x32 shares its AUDIT_ARCH with x86-64 and marks its calls with this bit.
constexpr std::uint32_t kX32Bit = 0x4000'0000;

constexpr sock_filter statement(unsigned code, std::uint32_t k) {
  return {static_cast<__u16>(code), 0, 0, k};
}
constexpr sock_filter jump(unsigned code, std::uint32_t k, std::uint8_t yes, std::uint8_t no) {
  return {static_cast<__u16>(code), yes, no, k};
}

// 0 when the profile names none.
std::uint32_t newest_call(std::uint32_t arch, const Seccomp& seccomp) {
  int newest = 0;
  for (const SeccompSyscall& rules : seccomp.syscalls) {
    for (const std::string& name : rules.names) {
      newest = std::max(newest, ::seccomp_syscall_resolve_name_arch(arch, name.c_str()));
    }
  }
  return static_cast<std::uint32_t>(newest);
}

// Of one architecture; each block starts by loading what it looks at and falls through at its end.
void append_block(std::vector<sock_filter>& program, std::uint32_t arch, std::uint32_t newest) {
  const bool x32 = arch == SCMP_ARCH_X32;
  const bool x86_64 = arch == SCMP_ARCH_X86_64;
  const std::uint32_t audit = x32 ? AUDIT_ARCH_X86_64 : arch;
  // Number of instructions after the test of the architecture.
  const std::uint8_t rest = x32 || x86_64 ? 4 : 3;
  program.push_back(statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)));
  program.push_back(jump(BPF_JMP | BPF_JEQ | BPF_K, audit, 0, rest));
  program.push_back(statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  if (x86_64) program.push_back(jump(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 2, 0));
  if (x32) program.push_back(jump(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 0, 2));
  program.push_back(jump(BPF_JMP | BPF_JGT | BPF_K, newest, 0, 1));
  program.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
}

}  // namespace

std::vector<sock_filter> refuse_newer_calls(std::span<const std::uint32_t> archs,
                                            const Seccomp& seccomp) {
  std::vector<sock_filter> program;
  for (const std::uint32_t arch : archs) {
    const std::uint32_t newest = newest_call(arch, seccomp);
    if (newest > 0) append_block(program, arch, newest);
  }
  return program;
}

}  // namespace agentvm::oci
