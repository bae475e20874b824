#include "egress/gateway/confinement.h"

#include <fcntl.h>
#include <seccomp.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <memory>

#include "oci/base/try.h"

namespace agentvm::egress {

namespace {

// The guest's socket and the upstream's; pipes, questions of DNS, and the loop's own.
constexpr rlim_t kFilesEach = 2;
constexpr rlim_t kOtherFiles = 512;
#ifdef AGENTVM_SANITIZED
constexpr rlim_t kHeapBytes = RLIM_INFINITY;  // the sanitizer's shadow counts as heap
#else
constexpr rlim_t kHeapBytes = 256U << 20;
#endif

constexpr std::array kAllowed{
    // Data and readiness.
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(recvmsg),
    SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(sendto), SCMP_SYS(shutdown), SCMP_SYS(poll),
    SCMP_SYS(splice), SCMP_SYS(pipe2), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl), SCMP_SYS(timerfd_settime), SCMP_SYS(close),
    // Guests come, upstreams are reached.
    SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(connect), SCMP_SYS(getsockname),
    SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
    // The log and its predecessors, beneath a root that is empty.
    SCMP_SYS(openat), SCMP_SYS(renameat), SCMP_SYS(fstat), SCMP_SYS(newfstatat),
    // The heap.
    SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(brk), SCMP_SYS(madvise), SCMP_SYS(getrandom),
    SCMP_SYS(getrusage), SCMP_SYS(getpid),
// Clocks where there is no vDSO, and leaving.
#ifdef AGENTVM_SANITIZED
    SCMP_SYS(sched_yield), SCMP_SYS(sigaltstack),
#endif
    SCMP_SYS(clock_gettime), SCMP_SYS(futex), SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(exit), SCMP_SYS(exit_group)};

Result<void> check(int negative_errno, const char* doing) {
  if (negative_errno == 0) return {};
  return fail_errno(-negative_errno, doing);
}

Result<rlim_t> set_limit(__rlimit_resource resource, rlim_t value, const char* name) {
  rlimit limit{};
  if (::getrlimit(resource, &limit) != 0) return fail_errno(errno, name);
  limit.rlim_max = std::min(limit.rlim_max, value);
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(resource, &limit) != 0) return fail_errno(errno, name);
  return limit.rlim_cur;
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
  for (const int call : {SCMP_SYS(mmap), SCMP_SYS(mprotect)}) {
    TRY(check(::seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
                                 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)),
              "allow memory"));
  }
  for (const int family : {AF_INET, AF_INET6}) {
    TRY(check(allow_with(filter, SCMP_SYS(socket), 0, static_cast<scmp_datum_t>(family)),
              "allow sockets"));
  }
  TRY(check(allow_with(filter, SCMP_SYS(ioctl), 1, FIONBIO), "allow FIONBIO"));
  for (const int command : {F_GETFL, F_SETFL, F_SETPIPE_SZ}) {
    TRY(check(allow_with(filter, SCMP_SYS(fcntl), 1, static_cast<scmp_datum_t>(command)),
              "allow fcntl"));
  }
  return {};
}

Result<void> drop_capabilities() {
  const std::unique_ptr<std::remove_pointer_t<cap_t>, int (*)(void*)> none(::cap_init(),
                                                                           ::cap_free);
  if (!none || ::cap_set_proc(none.get()) != 0) return fail_errno(errno, "drop capabilities");
  return {};
}

}  // namespace

Result<std::size_t> limit_resources(std::size_t connections) {
  (void)TRY(set_limit(RLIMIT_CORE, 0, "limit core dumps"));
  (void)TRY(set_limit(RLIMIT_NPROC, 0, "limit processes"));
  (void)TRY(set_limit(RLIMIT_MEMLOCK, 0, "limit locked memory"));
  (void)TRY(set_limit(RLIMIT_DATA, kHeapBytes, "limit the heap"));
  const rlim_t wanted = kFilesEach * connections + kOtherFiles;
  const rlim_t files = TRY(set_limit(RLIMIT_NOFILE, wanted, "limit open files"));
  if (files < 2 * kOtherFiles / 4) {
    return fail(ErrorKind::failed_precondition, "the limit on open files is below 256");
  }
  const rlim_t other = std::min(kOtherFiles, files / 2);
  return std::min<std::size_t>(connections, (files - other) / kFilesEach);
}

Result<void> confine() {
  // The log's first time stamp would read the time zone's file.
  ::tzset();
  TRY(drop_capabilities());
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno(errno, "no new privileges");
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_errno(errno, "forbid core dumps");
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(
      ::seccomp_init(SCMP_ACT_KILL_PROCESS), ::seccomp_release);
  if (!filter) return fail(ErrorKind::internal, "make a seccomp filter");
  (void)::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  TRY(add_rules(filter.get()));
  return check(::seccomp_load(filter.get()), "load the seccomp filter");
}

}  // namespace agentvm::egress
