// The byte streams of one guest process: a vsock connection each, relayed to what the caller of
// agentvm gave it as standard input, output and error, or to a terminal.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"
#include "rpc/agent_client.h"
#include "runtime/session/guest_link.h"

namespace agentvm::runtime {

// The host's ends. With `terminal` (a raw tty: the slave of a pty, or the caller's own) the three
// others are not used; one that is absent is /dev/null in the guest.
struct HostStdio {
  UniqueFd in;
  UniqueFd out;
  UniqueFd err;
  UniqueFd terminal;
};

// Duplicates of the caller's fds 0, 1 and 2; those that are closed or /dev/null stay absent.
[[nodiscard]] Result<HostStdio> inherit_stdio();

// A duplicate of the first of fds 0, 1 and 2 that is a terminal.
[[nodiscard]] Result<UniqueFd> inherit_terminal();

// Random, never 0: for a stream that the agent is to find again.
[[nodiscard]] std::uint64_t make_stream_id();

class ProcessStreams {
 public:
  // Opens the vsock connections and waits until the agent has taken each.
  [[nodiscard]] static Task<std::unique_ptr<ProcessStreams>> open(const GuestLink& link,
                                                                  HostStdio host);
  ~ProcessStreams();
  ProcessStreams(const ProcessStreams&) = delete;
  ProcessStreams& operator=(const ProcessStreams&) = delete;

  // For CreateContainer and ExecProcess.
  [[nodiscard]] const agent::v1::Stdio& ids() const;

  // Starts copying. Call it once the agent has claimed the streams.
  void start();
  // Ends when the guest has ended every output stream and its last byte was written. A reader that
  // went away (EPIPE) ends its stream too: the guest's process gets SIGPIPE, as with a pipe.
  [[nodiscard]] asio::awaitable<void> wait_output_end();

  // -1 without one.
  [[nodiscard]] int terminal() const;

 private:
  struct State;
  explicit ProcessStreams(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace agentvm::runtime
