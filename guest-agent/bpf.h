// Small programs for the kernel (bpf(2)) that cgroups ask: written by instruction, loaded,
// attached.
#pragma once

#include <linux/bpf.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"

namespace agentvm::guest {

// `name` is for errors: "the device program".
struct BpfProgram {
  std::string_view name;
  bpf_prog_type type;
  bpf_attach_type attach_type;
};

[[nodiscard]] constexpr bpf_insn bpf_instruction(std::uint8_t code, std::uint8_t dst,
                                                 std::uint8_t src, std::size_t offset,
                                                 std::int32_t immediate) {
  bpf_insn made{};
  made.code = code;
  made.dst_reg = static_cast<std::uint8_t>(dst & 0xf);
  made.src_reg = static_cast<std::uint8_t>(src & 0xf);
  made.off = static_cast<std::int16_t>(offset);
  made.imm = immediate;
  return made;
}

// The error holds the verifier's last words.
[[nodiscard]] Result<UniqueFd> load_program(const BpfProgram& what, std::span<const bpf_insn> code);

// To the cgroup and all below, beside others, or in place of `replaced`, attached by the same call.
// It stays with the cgroup when the descriptors are closed.
[[nodiscard]] Result<void> attach_program(const BpfProgram& what, int cgroup_fd, int program,
                                          std::optional<int> replaced = std::nullopt);
void detach_program(const BpfProgram& what, int cgroup_fd, int program);

}  // namespace agentvm::guest
