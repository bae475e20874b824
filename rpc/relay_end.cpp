#include "rpc/relay_end.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace agentvm::rpc {

namespace {

template <class Call>
ssize_t retry(Call call) {
  ssize_t n = call();
  while (n < 0 && errno == EINTR) n = call();
  return n;
}

sigset_t only_sigpipe() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGPIPE);
  return set;
}

bool is_pty_master(int fd) {
  int number = 0;
  return ::ioctl(fd, TIOCGPTN, &number) == 0;
}

int socket_domain(int fd) {
  int domain = 0;
  socklen_t size = sizeof domain;
  return ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 ? domain : AF_UNSPEC;
}

bool is_non_blocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_NONBLOCK) != 0;
}

}  // namespace

WithoutSigpipe::WithoutSigpipe() {
  struct sigaction action{};
  ::sigaction(SIGPIPE, nullptr, &action);
  if (action.sa_handler == SIG_IGN) return;
  const sigset_t sigpipe = only_sigpipe();
  sigset_t before;
  blocked_ =
      ::pthread_sigmask(SIG_BLOCK, &sigpipe, &before) == 0 && ::sigismember(&before, SIGPIPE) == 0;
}

WithoutSigpipe::~WithoutSigpipe() {
  if (!blocked_) return;
  const int saved = errno;
  const sigset_t sigpipe = only_sigpipe();
  // A write's SIGPIPE is the writing thread's own.
  constexpr timespec kNow{};
  while (::sigtimedwait(&sigpipe, nullptr, &kNow) < 0 && errno == EINTR) {
  }
  ::pthread_sigmask(SIG_UNBLOCK, &sigpipe, nullptr);
  errno = saved;
}

Result<RelayEnd> RelayEnd::create(int fd, RelaySide side, std::string name) {
  RelayEnd end(fd, side, std::move(name));
  struct stat status{};
  if (::fstat(fd, &status) != 0) return end.failed(errno);
  end.choose_access(status.st_mode);
  return end;
}

void RelayEnd::choose_access(std::uint32_t mode) {
  if (S_ISSOCK(mode)) {
    kind_ = Kind::socket;
    access_ = Access::dontwait;
    // The socket's half of splice(2) heeds O_NONBLOCK alone. vsock has no splice of its own: the
    // generic one makes a packet of every page.
    const int domain = socket_domain(lent_);
    can_splice_ =
        is_non_blocking(lent_) && (domain == AF_UNIX || domain == AF_INET || domain == AF_INET6);
    return;
  }
  if (S_ISFIFO(mode)) {
    kind_ = Kind::pipe;
    can_splice_ = true;
  } else if (S_ISCHR(mode) && ::isatty(lent_) == 1) {
    kind_ = Kind::tty;
  } else if (!S_ISCHR(mode)) {
    return;  // a regular file or block device
  }
  // A character device that is no tty may be opened anew to no avail or with effects (/dev/null is
  // one that needs nothing): it is used as it is.
  const bool reopen = kind_ == Kind::pipe || (kind_ == Kind::tty && !is_pty_master(lent_));
  if (reopen && open_anew()) return;
  access_ = is_non_blocking(lent_) ? Access::direct : Access::polled;
}

bool RelayEnd::open_anew() {
  const int access = side_ == RelaySide::source ? O_RDONLY : O_WRONLY;
  const std::string path = fmt::format("/proc/self/fd/{}", lent_);
  own_.reset(::open(path.c_str(), access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  return static_cast<bool>(own_);
}

Result<std::optional<std::size_t>> RelayEnd::read_some(std::span<char> into) {
  if (access_ == Access::polled && !ready()) return std::nullopt;
  const ssize_t n = retry([&] {
    return access_ == Access::dontwait ? ::recv(fd(), into.data(), into.size(), MSG_DONTWAIT)
                                       : ::read(fd(), into.data(), into.size());
  });
  if (n >= 0) return static_cast<std::size_t>(n);
  if (errno == EAGAIN) return std::nullopt;
  // The other side of a pty has been closed.
  if (errno == EIO && kind_ == Kind::tty) return 0;
  return failed(errno);
}

Result<std::optional<std::size_t>> RelayEnd::write_some(std::string_view bytes) {
  if (access_ == Access::polled) {
    if (!ready()) return std::nullopt;
    bytes = bytes.substr(0, PIPE_BUF);
  }
  const WithoutSigpipe guard;
  const ssize_t n = retry([&] {
    return access_ == Access::dontwait
               ? ::send(fd(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL)
               : ::write(fd(), bytes.data(), bytes.size());
  });
  if (n >= 0) return static_cast<std::size_t>(n);
  if (errno == EAGAIN) return std::nullopt;
  return failed(errno);
}

std::unexpected<Error> RelayEnd::broken() const {
  int errnum = 0;
  socklen_t size = sizeof errnum;
  if (kind_ == Kind::socket && ::getsockopt(lent_, SOL_SOCKET, SO_ERROR, &errnum, &size) == 0 &&
      errnum != 0) {
    return failed(errnum);
  }
  return failed(kind_ == Kind::tty ? EIO : EPIPE);
}

void RelayEnd::end_sending() {
  if (kind_ == Kind::socket) ::shutdown(lent_, SHUT_WR);
}

bool RelayEnd::ready() const {
  pollfd poll_fd{fd(), static_cast<short>(side_ == RelaySide::source ? POLLIN : POLLOUT), 0};
  return retry([&] { return ::poll(&poll_fd, 1, 0); }) != 0;
}

std::unexpected<Error> RelayEnd::failed(int errnum) const {
  const char* doing = side_ == RelaySide::source ? "read from" : "write to";
  auto error = fail_errno(errnum, fmt::format("{} {}", doing, name_));
  // A peer that went away is nobody's mistake here.
  if (errnum == EPIPE || errnum == ECONNRESET || errnum == EIO) {
    error.error().kind = ErrorKind::unavailable;
  }
  return error;
}

}  // namespace agentvm::rpc
