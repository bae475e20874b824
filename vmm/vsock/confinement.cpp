#include "vmm/vsock/confinement.h"

#include <fcntl.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <memory>
#include <vector>

#include "oci/base/try.h"
#include "oci/base/unique_fd.h"
#include "vmm/vsock/client_door.h"
#include "vmm/vsock/link_table.h"

namespace agentvm::vmm::vsock {

namespace {

// Links, clients at the door, and the loop's own: sockets, epoll, timer, kicks, calls, memory.
constexpr rlim_t kFiles = kMaxLinks + kMaxWaiting + kMaxGreeting + 64;
#ifdef AGENTVM_SANITIZED
constexpr rlim_t kHeapBytes = RLIM_INFINITY;  // the sanitizer's shadow counts as heap
#else
constexpr rlim_t kHeapBytes = 128U << 20;
#endif

constexpr std::array kAllowed{
    // Data and readiness.
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(recvmsg), SCMP_SYS(recvfrom),
    SCMP_SYS(sendmsg), SCMP_SYS(sendto), SCMP_SYS(shutdown), SCMP_SYS(poll), SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(timerfd_settime), SCMP_SYS(close),
    // Clients come, services are reached.
    SCMP_SYS(accept4), SCMP_SYS(connect),
    // Guest memory and the heap.
    SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(brk), SCMP_SYS(madvise), SCMP_SYS(fstat),
    SCMP_SYS(newfstatat), SCMP_SYS(getrandom),
    // The log's clock where there is no vDSO, and leaving.
#ifdef AGENTVM_SANITIZED
    SCMP_SYS(pipe2),  // how the sanitizer finds out whether an address can be read
#endif
    SCMP_SYS(clock_gettime), SCMP_SYS(futex), SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(exit), SCMP_SYS(exit_group)};

Result<void> check(int negative_errno, const char* doing) {
  if (negative_errno == 0) return {};
  return fail_errno(-negative_errno, doing);
}

Result<void> set_limit(__rlimit_resource resource, rlim_t value, const char* name) {
  rlimit limit{};
  if (::getrlimit(resource, &limit) != 0) return fail_errno(errno, name);
  limit.rlim_max = std::min(limit.rlim_max, value);
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(resource, &limit) != 0) return fail_errno(errno, name);
  return {};
}

// Allows `call` where its argument number `argument` is `value`.
int allow_with(scmp_filter_ctx filter, int call, unsigned argument, scmp_datum_t value) {
  const scmp_arg_cmp same{.arg = argument, .op = SCMP_CMP_EQ, .datum_a = value, .datum_b = 0};
  return ::seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, same);
}

Result<void> add_rules(scmp_filter_ctx filter) {
  for (const int call : kAllowed) {
    TRY(check(::seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0), "allow a system call"));
  }
  TRY(check(::seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)),
            "allow mmap"));
  TRY(check(allow_with(filter, SCMP_SYS(socket), 0, AF_UNIX), "allow unix sockets"));
  // Asio asks for non-blocking files this way; the session by fcntl.
  TRY(check(allow_with(filter, SCMP_SYS(ioctl), 1, FIONBIO), "allow FIONBIO"));
  for (const int command : {F_GETFL, F_SETFL}) {
    TRY(check(allow_with(filter, SCMP_SYS(fcntl), 1, static_cast<scmp_datum_t>(command)),
              "allow fcntl"));
  }
  return {};
}

}  // namespace

Result<void> close_other_fds(std::span<const int> keep) {
  const UniqueFd nothing(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!nothing) return fail_errno(errno, "make a socket");
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO}) {
    if (std::ranges::find(keep, standard) != keep.end()) continue;
    if (::dup2(nothing.get(), standard) < 0) return fail_errno(errno, "replace stdin or stdout");
  }
  std::vector<int> kept(keep.begin(), keep.end());
  kept.insert(kept.end(), {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, nothing.get()});
  std::ranges::sort(kept);
  unsigned first = 0;
  for (const int fd : kept) {
    const auto number = static_cast<unsigned>(fd);
    if (first < number && ::close_range(first, number - 1, 0) != 0) {
      return fail_errno(errno, "close inherited files");
    }
    first = number + 1;
  }
  if (::close_range(first, ~0U, 0) != 0) return fail_errno(errno, "close inherited files");
  return {};
}

Result<void> limit_resources() {
  TRY(set_limit(RLIMIT_CORE, 0, "limit core dumps"));
  TRY(set_limit(RLIMIT_NPROC, 0, "limit processes"));
  TRY(set_limit(RLIMIT_MEMLOCK, 0, "limit locked memory"));
  TRY(set_limit(RLIMIT_NOFILE, kFiles, "limit open files"));
  return set_limit(RLIMIT_DATA, kHeapBytes, "limit the heap");
}

Result<void> restrict_system_calls() {
  // The log's first time stamp would read the time zone's file.
  ::tzset();
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno(errno, "no new privileges");
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_errno(errno, "forbid core dumps");
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(
      ::seccomp_init(SCMP_ACT_KILL_PROCESS), ::seccomp_release);
  if (!filter) return fail(ErrorKind::internal, "make a seccomp filter");
  TRY(add_rules(filter.get()));
  return check(::seccomp_load(filter.get()), "load the seccomp filter");
}

}  // namespace agentvm::vmm::vsock
