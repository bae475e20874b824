#include "runtime/console.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

Result<void> make_raw(int terminal) {
  termios settings{};
  if (::tcgetattr(terminal, &settings) != 0) return fail_errno(errno, "read the terminal's modes");
  ::cfmakeraw(&settings);
  if (::tcsetattr(terminal, TCSANOW, &settings) != 0) {
    return fail_errno(errno, "make the terminal raw");
  }
  return {};
}

}  // namespace

Result<Pty> open_pty() {
  Pty pty;
  pty.master.reset(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!pty.master) return fail_errno(errno, "open a pseudo terminal");
  if (::unlockpt(pty.master.get()) != 0) return fail_errno(errno, "unlock the pseudo terminal");
  std::array<char, 64> name{};
  if (const int code = ::ptsname_r(pty.master.get(), name.data(), name.size()); code != 0) {
    return fail_errno(code, "name the pseudo terminal");
  }
  pty.name = name.data();
  // Not by name: /dev/pts may be another instance than the one that /dev/ptmx made it in.
  pty.slave.reset(::ioctl(pty.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!pty.slave) return fail_errno(errno, fmt::format("open '{}'", pty.name));
  TRY(make_raw(pty.slave.get()), "'{}'", pty.name);
  return pty;
}

Result<void> send_console(const std::string& socket_path, const Pty& pty) {
  const std::string doing = fmt::format("hand the terminal to console socket '{}'", socket_path);
  const std::filesystem::path path(socket_path);
  const std::string parent = path.has_parent_path() ? path.parent_path().string() : ".";
  const auto directory = TRY(sys::open_at(AT_FDCWD, parent, O_PATH | O_DIRECTORY), "{}", doing);
  const auto socket =
      TRY(sys::connect_unix_at(directory.get(), path.filename().string()), "{}", doing);
  const std::array<int, 1> fds{pty.master.get()};
  TRY(sys::send_fds(socket.get(), pty.name, fds), "{}", doing);
  return {};
}

int take_controlling_terminal(int slave) {
  // EPERM: it leads a process group already, which is fine when it leads a session as well.
  if (::setsid() < 0 && ::getsid(0) != ::getpid()) return errno;
  return ::ioctl(slave, TIOCSCTTY, 0) == 0 ? 0 : errno;
}

Result<WindowSize> window_size(int terminal) {
  winsize size{};
  if (::ioctl(terminal, TIOCGWINSZ, &size) != 0) return fail_errno(errno, "read the window's size");
  return WindowSize{size.ws_row, size.ws_col};
}

Result<void> set_window_size(int terminal, WindowSize size) {
  winsize wanted{};
  wanted.ws_row = size.rows;
  wanted.ws_col = size.columns;
  if (::ioctl(terminal, TIOCSWINSZ, &wanted) != 0)
    return fail_errno(errno, "set the window's size");
  return {};
}

namespace {

constexpr std::array kFatalSignals{SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGSEGV, SIGBUS};

// What a signal handler needs; it has nothing but globals. Of the one RawTerminal that lives.
struct Saved {
  int terminal = -1;
  termios settings{};
  std::array<struct sigaction, kFatalSignals.size()> actions{};
};
Saved saved;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

extern "C" void restore_and_die(int signal) {
  ::tcsetattr(saved.terminal, TCSANOW, &saved.settings);
  // SA_RESETHAND has put the default action back: this ends the process once the handler is left.
  ::raise(signal);
}

}  // namespace

Result<std::unique_ptr<RawTerminal>> RawTerminal::create(int terminal) {
  if (saved.terminal >= 0) {
    return fail(ErrorKind::failed_precondition, "a terminal is in raw mode already");
  }
  if (::tcgetattr(terminal, &saved.settings) != 0) {
    return fail(ErrorKind::failed_precondition,
                fmt::format("file descriptor {} is not a terminal", terminal));
  }
  saved.terminal = terminal;
  auto raw = std::unique_ptr<RawTerminal>(new RawTerminal);  // its end undoes the rest
  for (std::size_t i = 0; i < kFatalSignals.size(); ++i) {
    ::sigaction(kFatalSignals[i], nullptr, &saved.actions[i]);
    if (saved.actions[i].sa_handler != SIG_DFL) continue;
    struct sigaction action{};
    action.sa_handler = restore_and_die;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    ::sigaction(kFatalSignals[i], &action, nullptr);
  }
  TRY(make_raw(terminal));
  return raw;
}

RawTerminal::~RawTerminal() {
  ::tcsetattr(saved.terminal, TCSANOW, &saved.settings);
  for (std::size_t i = 0; i < kFatalSignals.size(); ++i) {
    // Only what was changed, and is still as it was left.
    struct sigaction present{};
    ::sigaction(kFatalSignals[i], nullptr, &present);
    if (present.sa_handler == restore_and_die) {
      ::sigaction(kFatalSignals[i], &saved.actions[i], nullptr);
    }
  }
  saved.terminal = -1;
}

}  // namespace agentvm::runtime
