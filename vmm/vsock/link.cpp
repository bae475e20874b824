#include "vmm/vsock/link.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <utility>

namespace agentvm::vmm::vsock {

namespace {

// -1 with errno; EINTR does not reach the caller.
ssize_t send_pieces(int socket, std::span<const iovec> pieces) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = pieces.size();
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

std::size_t total(std::span<const iovec> pieces) {
  std::size_t sum = 0;
  for (const iovec& piece : pieces) sum += piece.iov_len;
  return sum;
}

}  // namespace

Link::Link(const IoExecutor& executor, UniqueFd socket, Connection the_protocol, LinkOwner& owner)
    : protocol(std::move(the_protocol)), socket_(executor, socket.release()), owner_(owner) {}

Link::Read Link::read(std::span<const iovec> into) {
  ssize_t got = 0;
  do {
    got = ::readv(socket_.native_handle(), into.data(), static_cast<int>(into.size()));
  } while (got < 0 && errno == EINTR);
  if (got > 0) {
    const auto count = static_cast<std::size_t>(got);
    may_have_input_ = count == total(into);
    return {Read::Kind::bytes, count};
  }
  may_have_input_ = false;
  if (got < 0 && errno == EAGAIN) return {Read::Kind::nothing_yet};
  // An error here is ECONNRESET (the client left without reading all): its bytes came before it.
  input_ended_ = true;
  return {Read::Kind::end};
}

bool Link::hung_up() const {
  pollfd state{.fd = const_cast<Descriptor&>(socket_).native_handle(), .events = 0, .revents = 0};
  return ::poll(&state, 1, 0) == 1 && (state.revents & (POLLHUP | POLLERR)) != 0;
}

void Link::stop_reading() {
  may_have_input_ = false;
  input_ended_ = true;
  if (!is_closed()) ::shutdown(socket_.native_handle(), SHUT_RD);
}

Link::Delivery Link::deliver(std::span<const iovec> payload) {
  std::size_t sent = 0;
  if (backlog_.empty()) {
    const ssize_t count = send_pieces(socket_.native_handle(), payload);
    if (count < 0 && errno != EAGAIN) return Delivery::nobody_reads;
    if (count > 0) sent = static_cast<std::size_t>(count);
    protocol.consumed(static_cast<std::uint32_t>(sent));
  }
  for (const iovec& piece : payload) {
    const std::size_t skip = std::min(sent, piece.iov_len);
    sent -= skip;
    if (skip == piece.iov_len) continue;
    const iovec rest{static_cast<std::byte*>(piece.iov_base) + skip, piece.iov_len - skip};
    backlog_.append({&rest, 1});
  }
  return Delivery::going_on;
}

Link::Delivery Link::flush() {
  while (!backlog_.empty()) {
    const std::span<const std::byte> bytes = backlog_.bytes();
    const iovec piece{const_cast<std::byte*>(bytes.data()), bytes.size()};
    const ssize_t count = send_pieces(socket_.native_handle(), {&piece, 1});
    if (count < 0) return errno == EAGAIN ? Delivery::going_on : Delivery::nobody_reads;
    backlog_.drop_front(static_cast<std::size_t>(count));
    protocol.consumed(static_cast<std::uint32_t>(count));
  }
  return Delivery::going_on;
}

void Link::drop_backlog() {
  protocol.consumed(static_cast<std::uint32_t>(backlog_.clear()));
}

void Link::end_writing() {
  if (!is_closed() && !std::exchange(writing_ended_, true)) {
    ::shutdown(socket_.native_handle(), SHUT_WR);
  }
}

bool Link::send_line(std::string_view line) {
  const iovec piece{const_cast<char*>(line.data()), line.size()};
  return send_pieces(socket_.native_handle(), {&piece, 1}) == static_cast<ssize_t>(line.size());
}

void Link::await_readable() {
  await(Wait::readable);
}

void Link::await_writable() {
  await(Wait::writable);
}

void Link::await_hangup() {
  await(Wait::hangup);
}

void Link::await(Wait what) {
  const auto mark = static_cast<std::uint8_t>(what);
  if ((awaited_ & mark) != 0 || is_closed()) return;
  awaited_ |= mark;
  const auto done = [self = shared_from_this(), what, mark](const boost::system::error_code& code) {
    self->awaited_ &= static_cast<std::uint8_t>(~mark);
    if (code || self->is_closed()) return;
    switch (what) {
      case Wait::readable:
        self->may_have_input_ = !self->input_ended_;
        return self->owner_.on_readable(*self);
      case Wait::writable:
        return self->owner_.on_writable(*self);
      case Wait::hangup:
        return self->owner_.on_hangup(*self);
    }
  };
  switch (what) {
    case Wait::readable:
      return socket_.async_wait(Descriptor::wait_read, done);
    case Wait::writable:
      return socket_.async_wait(Descriptor::wait_write, done);
    case Wait::hangup:
      // Nothing out of band travels here: only EPOLLHUP and EPOLLERR end this wait.
      return socket_.async_wait(Descriptor::wait_error, done);
  }
}

void Link::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
  backlog_.clear();
  may_have_input_ = false;
}

}  // namespace agentvm::vmm::vsock
