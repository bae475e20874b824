#include "sandbox/engine/session.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "sandbox/engine/detach_keys.h"
#include "sandbox/engine/frames.h"

namespace agentvm::sandbox {

namespace {

constexpr std::size_t kPiece = 32'768;

// The terminal without line discipline: the container's own does that.
class RawTerminal {
 public:
  RawTerminal() {
    if (::tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios raw = before_;
    ::cfmakeraw(&raw);
    changed_ = ::tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal() {
    if (changed_) (void)::tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
  }

 private:
  termios before_{};
  bool changed_ = false;
};

// The signals of a session as something to poll; as they were before when it goes.
class SessionSignals {
 public:
  SessionSignals() {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : {SIGWINCH, SIGINT, SIGTERM, SIGHUP, SIGQUIT}) ::sigaddset(&set, signal);
    ::sigprocmask(SIG_BLOCK, &set, &before_);
    fd_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  SessionSignals(const SessionSignals&) = delete;
  SessionSignals& operator=(const SessionSignals&) = delete;
  ~SessionSignals() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }

  [[nodiscard]] int fd() const { return fd_.get(); }
  // 0: none is waiting.
  [[nodiscard]] int take() const {
    signalfd_siginfo info{};
    return ::read(fd_.get(), &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo)
                                                                : 0;
  }

 private:
  sigset_t before_{};
  UniqueFd fd_;
};

class Session {
 public:
  explicit Session(SessionOrder order)
      : order_(std::move(order)),
        keys_(order_.detach_keys),
        frames_([](int stream, std::string_view bytes) {
          return sys::write_all(stream == 2 ? STDERR_FILENO : STDOUT_FILENO, bytes);
        }) {
    if (order_.tty && order_.input && ::isatty(STDIN_FILENO) == 1) terminal_.emplace();
    reads_input_ = order_.input;
    ::fcntl(order_.stream.get(), F_SETFL, ::fcntl(order_.stream.get(), F_GETFL) | O_NONBLOCK);
  }

  Result<SessionEnd> run() {
    if (!reads_input_) (void)::shutdown(order_.stream.get(), SHUT_WR);
    tell_size();
    while (!end_) TRY(step());
    return *end_;
  }

 private:
  Result<void> step() {
    const bool sending = !pending_.empty();
    std::array<pollfd, 3> fds{
        pollfd{order_.stream.get(), static_cast<short>(sending ? POLLIN | POLLOUT : POLLIN), 0},
        pollfd{signals_.fd(), POLLIN, 0},
        // Not more is read than can be sent.
        pollfd{reads_input_ && !sending ? STDIN_FILENO : -1, POLLIN, 0}};
    if (::poll(fds.data(), fds.size(), -1) < 0) {
      if (errno == EINTR) return {};
      return fail_errno(errno, "wait for the session");
    }
    if ((fds[1].revents & POLLIN) != 0) on_signal(signals_.take());
    if ((fds[2].revents & (POLLIN | POLLHUP | POLLERR)) != 0) on_input();
    if ((fds[0].revents & POLLOUT) != 0) send_pending();
    if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) TRY(on_output());
    return {};
  }

  void on_signal(int signal) {
    if (signal == SIGWINCH) return tell_size();
    if (signal == 0) return;
    if (!order_.tty && order_.signalled) return order_.signalled(signal);
    end_ = SessionEnd::detached;
  }

  void on_input() {
    std::array<char, kPiece> bytes;
    const ssize_t got = ::read(STDIN_FILENO, bytes.data(), bytes.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (got <= 0) {
      reads_input_ = false;
      (void)::shutdown(order_.stream.get(), SHUT_WR);
      return;
    }
    const std::string_view typed(bytes.data(), static_cast<std::size_t>(got));
    pending_ = terminal_ && !order_.detach_keys.empty() ? keys_.pass(typed) : std::string(typed);
    if (keys_.found()) end_ = SessionEnd::detached;
    send_pending();
  }

  void send_pending() {
    if (pending_.empty()) return;
    const ssize_t sent =
        ::send(order_.stream.get(), pending_.data(), pending_.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      pending_.erase(0, static_cast<std::size_t>(sent));
    } else if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      pending_.clear();  // nobody reads any more: what it still says comes, then its end
      reads_input_ = false;
    }
  }

  Result<void> on_output() {
    std::array<char, kPiece> bytes;
    const ssize_t got = ::read(order_.stream.get(), bytes.data(), bytes.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return {};
    if (got <= 0) {
      if (!end_) end_ = SessionEnd::ended;
      return {};
    }
    const std::string_view said(bytes.data(), static_cast<std::size_t>(got));
    return order_.tty ? sys::write_all(STDOUT_FILENO, said) : frames_.feed(said);
  }

  void tell_size() {
    winsize size{};
    if (!order_.tty || !order_.resize || ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return;
    if (size.ws_row != 0 && size.ws_col != 0) order_.resize(size.ws_row, size.ws_col);
  }

  SessionOrder order_;
  DetachKeys keys_;
  FrameReader frames_;
  SessionSignals signals_;
  std::optional<RawTerminal> terminal_;
  bool reads_input_ = false;
  std::string pending_;
  std::optional<SessionEnd> end_;
};

}  // namespace

bool has_terminal() {
  return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
}

Result<SessionEnd> run_session(SessionOrder order) {
  return Session(std::move(order)).run();
}

}  // namespace agentvm::sandbox
