// One side of a relay: a borrowed file descriptor read or written without ever waiting in the
// kernel, and without setting O_NONBLOCK on a description that others share. stream_relay.h says
// how each kind of file gets there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"

namespace agentvm::rpc {

// While one lives, writing to a pipe that nobody reads is EPIPE and no SIGPIPE, in a process that
// does not ignore the signal too. Neither disposition nor mask is changed for good: children would
// inherit that.
class WithoutSigpipe {
 public:
  WithoutSigpipe();
  ~WithoutSigpipe();
  WithoutSigpipe(const WithoutSigpipe&) = delete;
  WithoutSigpipe& operator=(const WithoutSigpipe&) = delete;

 private:
  bool blocked_ = false;  // by this object: a signal that is pending then is ours to take back
};

enum class RelaySide : std::uint8_t { source, sink };

class RelayEnd {
 public:
  // `fd` outlives the end. `name` is for errors.
  [[nodiscard]] static Result<RelayEnd> create(int fd, RelaySide side, std::string name);

  // The fd to watch and to move bytes with: the lent one, or our own opened anew.
  [[nodiscard]] int fd() const { return own_ ? own_.get() : lent_; }
  [[nodiscard]] const std::string& name() const { return name_; }

  // nullopt: it would block. 0 of a read: the end (also EIO of a tty).
  [[nodiscard]] Result<std::optional<std::size_t>> read_some(std::span<char> into);
  [[nodiscard]] Result<std::optional<std::size_t>> write_some(std::string_view bytes);
  // The error of a call on this side.
  [[nodiscard]] std::unexpected<Error> failed(int errnum) const;
  // The error of a sink that poll(2) calls broken.
  [[nodiscard]] std::unexpected<Error> broken() const;

  // The sink's sending side ends, when it is a socket.
  void end_sending();

  // splice(2) with SPLICE_F_NONBLOCK cannot wait in the kernel on this side.
  [[nodiscard]] bool can_splice() const { return can_splice_; }
  [[nodiscard]] bool is_pipe() const { return kind_ == Kind::pipe; }
  // poll(2) right now. What cannot be polled is always ready.
  [[nodiscard]] bool ready() const;

 private:
  enum class Kind : std::uint8_t { pipe, socket, tty, other };
  enum class Access : std::uint8_t {
    direct,    // non-blocking, or of a kind that never waits for a peer
    dontwait,  // a socket: per call
    polled,    // blocking and shared: poll(2) first
  };

  RelayEnd(int lent, RelaySide side, std::string name)
      : lent_(lent), side_(side), name_(std::move(name)) {}
  void choose_access(std::uint32_t mode);
  [[nodiscard]] bool open_anew();

  int lent_;
  UniqueFd own_;
  RelaySide side_;
  std::string name_;
  Kind kind_ = Kind::other;
  Access access_ = Access::direct;
  bool can_splice_ = false;
};

}  // namespace agentvm::rpc
