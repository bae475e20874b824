// A connection together with its client's unix socket and the bytes between the two.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "oci/base/unique_fd.h"
#include "vmm/vsock/backlog.h"
#include "vmm/vsock/connection.h"

namespace agentvm::vmm::vsock {

using IoExecutor = boost::asio::io_context::executor_type;
using Descriptor = boost::asio::posix::basic_stream_descriptor<IoExecutor>;

class Link;

// Who is told when the client's socket is ready for what was asked with Link::await_….
class LinkOwner {
 public:
  virtual void on_readable(Link& link) = 0;
  virtual void on_writable(Link& link) = 0;
  virtual void on_hangup(Link& link) = 0;

 protected:
  ~LinkOwner() = default;
};

class Link : public std::enable_shared_from_this<Link> {
 public:
  // `socket` is a connected, non-blocking unix stream socket. `owner` outlives the event loop's
  // last turn.
  Link(const IoExecutor& executor, UniqueFd socket, Connection protocol, LinkOwner& owner);

  Connection protocol;

  // ---- client to guest
  struct Read {
    enum class Kind : std::uint8_t { bytes, nothing_yet, end } kind;
    std::size_t count = 0;
  };
  // Straight into the guest's memory. After less than was asked for, may_have_input() is false
  // until on_readable().
  [[nodiscard]] Read read(std::span<const iovec> into);
  [[nodiscard]] bool may_have_input() const { return may_have_input_; }
  // read() came to the end, or stop_reading() was called.
  [[nodiscard]] bool input_ended() const { return input_ended_; }
  // The client closed its end altogether; false when it only finished sending.
  [[nodiscard]] bool hung_up() const;
  // Nobody will read this client's bytes: its writes fail from now on.
  void stop_reading();

  // ---- guest to client
  enum class Delivery : std::uint8_t { going_on, nobody_reads };
  // Writes straight from guest memory; what the socket does not take is copied to the backlog.
  // Tells `protocol` how much went out.
  [[nodiscard]] Delivery deliver(std::span<const iovec> payload);
  // Writes the backlog as far as the socket takes it.
  [[nodiscard]] Delivery flush();
  [[nodiscard]] bool has_backlog() const { return !backlog_.empty(); }
  void drop_backlog();
  // The client sees the end of the guest's bytes. Only without a backlog.
  void end_writing();
  // A line of the hybrid protocol, ahead of any payload. False when the client is gone.
  [[nodiscard]] bool send_line(std::string_view line);

  // ---- readiness: each ends in one call of the owner, unless close() comes first
  void await_readable();
  void await_writable();
  void await_hangup();

  // Idempotent. The client sees the end.
  void close();
  [[nodiscard]] bool is_closed() const { return !socket_.is_open(); }

  // ---- marks of the muxer
  bool is_queued = false;     // in the queue of links that have something for the guest
  bool is_forgotten = false;  // the guest does not know it any more; only the backlog is left
  bool is_removed = false;    // only a queue or a handler still holds it

 private:
  enum class Wait : std::uint8_t { readable = 1, writable = 2, hangup = 4 };
  void await(Wait what);

  Descriptor socket_;
  LinkOwner& owner_;
  Backlog backlog_;
  bool may_have_input_ = false;
  bool input_ended_ = false;
  bool writing_ended_ = false;
  std::uint8_t awaited_ = 0;
};

using LinkRef = std::shared_ptr<Link>;

}  // namespace agentvm::vmm::vsock
