// The system calls that a jailed program is refused. Deny-lists: QEMU adds its own -sandbox, the
// vsock backend and virtiofsd add allow-lists of their own after their start.
#include <fmt/format.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <span>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "vmm/jail_plan.h"

namespace agentvm::vmm {

namespace {

// The host's own state, other processes, and kernel interfaces with a history of holes that none
// of our programs uses. Calling one means that the program is no longer ours: it is killed.
constexpr int kHostControl[] = {
    SCMP_SYS(acct),
    SCMP_SYS(add_key),
    SCMP_SYS(adjtimex),
    SCMP_SYS(bpf),
    SCMP_SYS(clock_adjtime),
    SCMP_SYS(clock_settime),
    SCMP_SYS(delete_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(init_module),
    SCMP_SYS(ioperm),
    SCMP_SYS(iopl),
    SCMP_SYS(kcmp),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(keyctl),
    SCMP_SYS(lookup_dcookie),
    SCMP_SYS(modify_ldt),
    SCMP_SYS(nfsservctl),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(ptrace),
    SCMP_SYS(quotactl),
    SCMP_SYS(quotactl_fd),
    SCMP_SYS(reboot),
    SCMP_SYS(request_key),
    SCMP_SYS(setdomainname),
    SCMP_SYS(sethostname),
    SCMP_SYS(settimeofday),
    SCMP_SYS(swapoff),
    SCMP_SYS(swapon),
    SCMP_SYS(syslog),
    SCMP_SYS(uselib),
    SCMP_SYS(ustat),
    SCMP_SYS(vhangup),
};

// What only a program uses that builds a sandbox or reaches into another process.
constexpr int kSandboxing[] = {
    SCMP_SYS(chroot),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(fsopen),
    SCMP_SYS(fspick),
    SCMP_SYS(mknod),
    SCMP_SYS(mknodat),
    SCMP_SYS(mount),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(move_mount),
    SCMP_SYS(move_pages),
    SCMP_SYS(name_to_handle_at),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(open_tree),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(pivot_root),
    SCMP_SYS(process_madvise),
    SCMP_SYS(setns),
    SCMP_SYS(umount2),
    SCMP_SYS(unshare),
    SCMP_SYS(fanotify_init),
};

// What QEMU tries and does without when the kernel says no.
constexpr int kOptional[] = {
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(userfaultfd),
};

using Context = std::unique_ptr<void, decltype(&::seccomp_release)>;

Result<void> deny(scmp_filter_ctx context, std::uint32_t action, std::span<const int> calls) {
  for (const int call : calls) {
    // Negative: this architecture does not have it.
    if (call < 0) continue;
    if (const int error = ::seccomp_rule_add(context, action, call, 0); error != 0) {
      return fail_errno(-error, fmt::format("deny system call {}", call));
    }
  }
  return {};
}

Result<void> deny_family(scmp_filter_ctx context, int call, scmp_compare compare,
                         std::uint64_t family) {
  const scmp_arg_cmp other{.arg = 0, .op = compare, .datum_a = family, .datum_b = 0};
  const int error = ::seccomp_rule_add(context, SCMP_ACT_ERRNO(EAFNOSUPPORT), call, 1, other);
  if (error != 0) return fail_errno(-error, "deny sockets");
  return {};
}

Result<void> deny_foreign_sockets(scmp_filter_ctx context, bool network) {
  TRY(deny_family(context, SCMP_SYS(socketpair), SCMP_CMP_NE, AF_UNIX));
  if (!network) return deny_family(context, SCMP_SYS(socket), SCMP_CMP_NE, AF_UNIX);
  // One comparison of an argument a rule. The whole register is compared, of which the kernel takes
  // the lower half: what has more in it is above AF_INET6 here.
  for (std::uint64_t family = 0; family < AF_INET6; ++family) {
    if (family == AF_UNIX || family == AF_INET) continue;
    TRY(deny_family(context, SCMP_SYS(socket), SCMP_CMP_EQ, family));
  }
  return deny_family(context, SCMP_SYS(socket), SCMP_CMP_GT, AF_INET6);
}

Result<std::vector<sock_filter>> compile(scmp_filter_ctx context) {
  UniqueFd memory(::memfd_create("filter", MFD_CLOEXEC));
  if (!memory) return fail_errno(errno, "memfd_create");
  if (const int error = ::seccomp_export_bpf(context, memory.get()); error != 0) {
    return fail_errno(-error, "compile the system call filter");
  }
  if (::lseek(memory.get(), 0, SEEK_SET) != 0) return fail_errno(errno, "seek");
  const std::string bytes = TRY(sys::read_all(memory.get(), BPF_MAXINSNS * sizeof(sock_filter)));
  std::vector<sock_filter> program(bytes.size() / sizeof(sock_filter));
  std::memcpy(program.data(), bytes.data(), program.size() * sizeof(sock_filter));
  return program;
}

}  // namespace

Result<std::vector<sock_filter>> make_filter(SyscallFilter filter) {
  if (filter == SyscallFilter::none) return std::vector<sock_filter>{};
  const Context context(::seccomp_init(SCMP_ACT_ALLOW), &::seccomp_release);
  if (!context) return fail(ErrorKind::internal, "make a system call filter");
  // A binary tree: one comparison after another would cost on every system call of a vCPU thread.
  (void)::seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  TRY(deny(context.get(), SCMP_ACT_KILL_PROCESS, kHostControl));
  if (filter != SyscallFilter::host_control) {
    TRY(deny(context.get(), SCMP_ACT_KILL_PROCESS, kSandboxing));
    TRY(deny(context.get(), SCMP_ACT_ERRNO(ENOSYS), kOptional));
    TRY(deny_foreign_sockets(context.get(), filter == SyscallFilter::unprivileged_network));
  }
  return compile(context.get());
}

}  // namespace agentvm::vmm
