// Our own terminal, or pipes, joined with a container's stream until one of them ends.
#pragma once

#include <csignal>
#include <functional>
#include <string>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"

namespace agentvm::sandbox {

// Whether this process has a terminal to give: standard input and output are one.
[[nodiscard]] bool has_terminal();

struct SessionOrder {
  UniqueFd stream;          // of Docker::attach() or start_exec()
  bool tty = false;         // of the container's side: bytes as they are, no frames
  bool input = true;        // standard input is sent on
  std::string detach_keys;  // as parse_detach_keys() gives them; "": none
  // Told the size of our terminal at the start and whenever it changes; only with `tty`.
  std::function<void(unsigned rows, unsigned columns)> resize;
  // SIGINT, SIGTERM, SIGHUP and SIGQUIT of ours, without a terminal; with one they end the session.
  std::function<void(int signal)> signalled;
};

enum class SessionEnd : std::uint8_t {
  ended,     // the container's side closed
  detached,  // by keys or by a signal: it runs on
};

// Blocks SIGWINCH and the signals above while it runs, and puts the terminal back whatever happens.
[[nodiscard]] Result<SessionEnd> run_session(SessionOrder order);

}  // namespace agentvm::sandbox
