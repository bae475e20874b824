// What a process in the guest reads and writes: the pipes or the pty between it and the streams
// that the host opened for it (stream_table.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "guest-agent/launch.h"
#include "guest-agent/output_pump.h"
#include "guest-agent/stream_table.h"
#include "oci/base/async.h"
#include "oci/base/unique_fd.h"
#include "oci/spec.h"

namespace agentvm::guest {

// As agent.proto's Stdio: 0 is /dev/null.
struct StreamIds {
  std::uint64_t in = 0;
  std::uint64_t out = 0;
  std::uint64_t err = 0;
  std::uint64_t terminal = 0;
};

class ProcessIo : public std::enable_shared_from_this<ProcessIo> {
 public:
  // Claims the streams and makes the pipes. invalid_argument when `terminal` and the ids
  // disagree, not_found for a stream that is not open; streams that were claimed are then closed.
  static Result<std::shared_ptr<ProcessIo>> create(const asio::any_io_executor& executor,
                                                   StreamTable& streams, const StreamIds& ids,
                                                   bool terminal);

  // What the process gets; once, before start().
  [[nodiscard]] ChildStdio take_child_side();
  // The pty's master, before start(), when there is a terminal.
  [[nodiscard]] Result<void> set_terminal(UniqueFd master,
                                          const std::optional<oci::ConsoleSize>& size);

  // Begins to copy.
  void start();
  // The process has exited. Ends when its output is with its streams to the last byte and they
  // have seen their end; right away after abort().
  asio::awaitable<void> finish();
  // Closes everything; bytes under way are lost.
  void abort();

  // failed_precondition without a terminal.
  [[nodiscard]] Result<void> resize(std::uint16_t rows, std::uint16_t columns);

 private:
  explicit ProcessIo(const asio::any_io_executor& executor);
  Result<void> connect_terminal(StreamTable& streams, const StreamIds& ids);
  Result<void> connect_input(StreamTable& streams, std::uint64_t id);
  Result<void> connect_output(StreamTable& streams, std::uint64_t id, UniqueFd& child_end,
                              std::unique_ptr<OutputPump>& pump);
  asio::awaitable<void> run_input();
  asio::awaitable<void> run_output(OutputPump& pump);
  void stop_input();

  asio::any_io_executor executor_;
  ChildStdio child_;
  UniqueFd terminal_stream_;  // until set_terminal()
  UniqueFd master_;           // the pty, for resize(); the pumps have their own
  UniqueFd input_stream_;
  UniqueFd input_;  // the pipe's write end or the pty
  asio::cancellation_signal stop_input_;
  std::unique_ptr<OutputPump> out_;
  std::unique_ptr<OutputPump> err_;
  int copying_ = 0;
  Event outputs_done_;
};

}  // namespace agentvm::guest
