#include "guest-agent/bpf.h"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace agentvm::guest {

namespace {

long bpf(bpf_cmd command, bpf_attr& attributes) {
  return ::syscall(SYS_bpf, command, &attributes, sizeof attributes);
}

std::string last_line(std::string_view log) {
  log = log.substr(0, log.find('\0'));
  while (log.ends_with('\n')) log.remove_suffix(1);
  const std::size_t newline = log.rfind('\n');
  return std::string(newline == std::string_view::npos ? log : log.substr(newline + 1));
}

bpf_attr attachment(const BpfProgram& what, int cgroup_fd, int program) {
  bpf_attr attributes{};
  attributes.target_fd = static_cast<std::uint32_t>(cgroup_fd);
  attributes.attach_bpf_fd = static_cast<std::uint32_t>(program);
  attributes.attach_type = what.attach_type;
  return attributes;
}

}  // namespace

Result<UniqueFd> load_program(const BpfProgram& what, std::span<const bpf_insn> code) {
  constexpr std::string_view kLicense = "Apache-2.0";
  bpf_attr attributes{};
  attributes.prog_type = what.type;
  attributes.expected_attach_type = what.attach_type;
  attributes.insns = reinterpret_cast<std::uintptr_t>(code.data());
  attributes.insn_cnt = static_cast<std::uint32_t>(code.size());
  attributes.license = reinterpret_cast<std::uintptr_t>(kLicense.data());
  long fd = bpf(BPF_PROG_LOAD, attributes);
  if (fd >= 0) return UniqueFd(static_cast<int>(fd));
  // Again with the verifier's log, which costs time and a buffer only when something is wrong.
  const int error = errno;
  std::string log(65536, '\0');
  attributes.log_level = 1;
  attributes.log_buf = reinterpret_cast<std::uintptr_t>(log.data());
  attributes.log_size = static_cast<std::uint32_t>(log.size());
  fd = bpf(BPF_PROG_LOAD, attributes);
  if (fd >= 0) return UniqueFd(static_cast<int>(fd));
  return fail_errno(error, fmt::format("load {}: {}", what.name, last_line(log)));
}

Result<void> attach_program(const BpfProgram& what, int cgroup_fd, int program,
                            std::optional<int> replaced) {
  bpf_attr attributes = attachment(what, cgroup_fd, program);
  attributes.attach_flags = BPF_F_ALLOW_MULTI;
  if (replaced) {
    attributes.attach_flags |= BPF_F_REPLACE;
    attributes.replace_bpf_fd = static_cast<std::uint32_t>(*replaced);
  }
  if (bpf(BPF_PROG_ATTACH, attributes) != 0) {
    return fail_errno(errno, fmt::format("attach {}", what.name));
  }
  return {};
}

void detach_program(const BpfProgram& what, int cgroup_fd, int program) {
  bpf_attr attributes = attachment(what, cgroup_fd, program);
  (void)bpf(BPF_PROG_DETACH, attributes);
}

}  // namespace agentvm::guest
