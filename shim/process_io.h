// The streams of one process: what containerd named becomes the runtime's fds 0, 1 and 2. Bytes of
// pipes and files do not pass through the shim; the stand-in reads and writes them itself.
//
// Of a FIFO the shim keeps the other end open as well: standard input ends by close_stdin(), not
// when one client leaves; output waits for the next client instead of breaking.
#pragma once

#include <memory>
#include <string>

#include "oci/base/async.h"
#include "shim/io_uri.h"
#include "shim/logger.h"
#include "shim/reaper.h"
#include "shim/terminal.h"
#include "shim/verb.h"

namespace agentvm::shim {

// As containerd tells it and asks for it again.
struct IoRequest {
  std::string in;
  std::string out;
  std::string err;
  bool terminal = false;
};

struct IoOwner {
  std::string name_space;
  std::string container_id;
  std::string bundle;
};

class ProcessIo {
 public:
  [[nodiscard]] static Task<std::unique_ptr<ProcessIo>> open(Reaper& reaper, IoOwner owner,
                                                             IoRequest request);

  // For the verb that makes the process.
  [[nodiscard]] VerbStdio verb_stdio() const;
  [[nodiscard]] std::string console_socket() const;
  // The verb has succeeded: its ends are let go, a terminal's bytes begin to flow.
  [[nodiscard]] Result<void> started();

  void close_stdin();
  // Nothing without a terminal.
  [[nodiscard]] Result<void> resize(runtime::WindowSize size);

  // The process is gone: everything is closed, once its output has been passed on.
  asio::awaitable<void> end();

 private:
  ProcessIo() = default;
  [[nodiscard]] static Result<void> open_input(ProcessIo& io, const IoUri& uri);
  [[nodiscard]] static Result<void> open_output(const IoUri& uri, UniqueFd& fd, UniqueFd& kept);

  UniqueFd in_;
  UniqueFd out_;
  UniqueFd err_;
  UniqueFd kept_in_;
  UniqueFd kept_out_;
  UniqueFd kept_err_;
  std::unique_ptr<Terminal> terminal_;
  std::unique_ptr<Logger> logger_;
};

}  // namespace agentvm::shim
