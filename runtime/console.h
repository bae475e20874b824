// Terminals on the host: the pty pair of a container or exec with `terminal`, and the caller's own
// terminal for `run` and `exec` in the foreground. The guest's pty does the line discipline, so
// the host's is raw.
#pragma once

#include <termios.h>

#include <cstdint>
#include <memory>
#include <string>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"

namespace agentvm::runtime {

struct Pty {
  UniqueFd master;
  UniqueFd slave;    // raw, O_NOCTTY
  std::string name;  // "/dev/pts/4"
};

[[nodiscard]] Result<Pty> open_pty();

// Sends the master to the unix stream socket at `socket_path` (--console-socket): one message,
// data is the pty's name, one descriptor. The path may be longer than sun_path.
[[nodiscard]] Result<void> send_console(const std::string& socket_path, const Pty& pty);

// Makes the calling process the leader of a new session with `slave` as its controlling terminal:
// the shim's resize of the master then arrives as SIGWINCH. Async-signal-safe; errno or 0.
[[nodiscard]] int take_controlling_terminal(int slave);

struct WindowSize {
  std::uint16_t rows = 0;
  std::uint16_t columns = 0;
  friend bool operator==(const WindowSize&, const WindowSize&) = default;
};
[[nodiscard]] Result<WindowSize> window_size(int terminal);
[[nodiscard]] Result<void> set_window_size(int terminal, WindowSize size);

// The caller's own terminal in raw mode for as long as the object lives. SIGTERM, SIGHUP, SIGINT
// and SIGQUIT restore it before they end the process, unless the caller handles them itself. One
// at a time in a process.
class RawTerminal {
 public:
  // Borrows `terminal`. failed_precondition when it is no terminal or another RawTerminal lives.
  [[nodiscard]] static Result<std::unique_ptr<RawTerminal>> create(int terminal);
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal();

 private:
  RawTerminal() = default;
};

}  // namespace agentvm::runtime
