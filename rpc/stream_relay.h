// Copies one direction of a byte stream between any two file descriptors: pipes, sockets, ttys,
// regular files, /dev/null.
//
// O_NONBLOCK belongs to the open file description, which a user's terminal or pipe shares with
// other processes, so the relay never sets it on a description it was lent. Instead:
//   pipe, FIFO, tty   opened anew through /proc/self/fd/N: a description of our own, non-blocking.
//                     Never a pty's master (opening it anew makes another pty).
//   socket            MSG_DONTWAIT on each call.
//   regular file, /dev/null and others that epoll refuses
//                     read and written directly: they do not wait for a peer.
//   what cannot be opened anew (foreign owner, pty master)
//                     as it is when it is non-blocking already; else poll(2) before every call,
//                     writes of at most PIPE_BUF: after POLLOUT a pipe takes that much without
//                     blocking while nobody else writes to it.
// Bytes move by splice(2) where a pipe is on one side and the kernel can do it without waiting,
// else through a buffer of 256 KiB that all relays of a thread share. A sink that nobody reads is
// an error, never SIGPIPE.
#pragma once

#include <cstdint>
#include <string>

#include "oci/base/async.h"

namespace agentvm::rpc {

struct RelayOptions {
  // What the two sides are called in an error: "write to <to_name>: Broken pipe".
  std::string from_name = "the source";
  std::string to_name = "the sink";
  // At the source's end, shutdown(2) the sink's sending side when it is a socket. Otherwise the
  // end is the caller's to pass on, by closing.
  bool half_close = true;
  // End when the sink is found broken while the source is silent, not only at the next write.
  bool watch_sink = true;
};

// Ends with the number of bytes copied once the source has ended and its last byte is written; the
// end of a tty or pty (EIO) is an end like any other. On failure: the side and errno (kind
// unavailable for a peer that went away). Cancellation by slot (terminal or partial) ends it with
// ECANCELED; bytes that were read and not written by then are lost. It sets
// throw_if_cancelled(false) on the coroutine that awaits it, since errors here are values.
// Both fds are borrowed until the task has ended, and must be different.
[[nodiscard]] Task<std::uint64_t> relay(int from_fd, int to_fd, RelayOptions options = {});

}  // namespace agentvm::rpc
