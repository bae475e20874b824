#include "runtime/channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

// Wire: u32 length of what follows, u8 type, u8 kind, i32 errnum, text. Host byte order: both ends
// are one program on one machine.
constexpr std::size_t kHeader = 6;
constexpr std::size_t kMaxText = 64 * 1024;

std::string encode(const Message& message) {
  const std::string text =
      (message.type == MessageType::failed ? message.error.message : message.text)
          .substr(0, kMaxText);
  const auto length = static_cast<std::uint32_t>(kHeader + text.size());
  const auto errnum = static_cast<std::int32_t>(message.error.errnum);
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  bytes += static_cast<char>(message.type);
  bytes += static_cast<char>(message.error.kind);
  bytes.append(reinterpret_cast<const char*>(&errnum), sizeof errnum);
  return bytes + text;
}

Result<Message> decode(const std::string& body) {
  const auto type = static_cast<std::uint8_t>(body[0]);
  const auto kind = static_cast<std::uint8_t>(body[1]);
  if (type > static_cast<std::uint8_t>(MessageType::done) ||
      kind > static_cast<std::uint8_t>(ErrorKind::internal)) {
    return fail(ErrorKind::internal, "the monitor's channel carries an unknown message");
  }
  Message message;
  message.type = static_cast<MessageType>(type);
  std::int32_t errnum = 0;
  std::memcpy(&errnum, body.data() + 2, sizeof errnum);
  message.text = body.substr(kHeader);
  if (message.type == MessageType::failed) {
    message.error = Error{static_cast<ErrorKind>(kind), errnum, std::move(message.text)};
    message.text.clear();
  }
  return message;
}

// A message comes in pieces, and an event loop has made the socket non-blocking.
Result<void> await_piece(int fd) {
  constexpr int kPatienceMs = 5000;  // the peer is at it
  pollfd entry{fd, POLLIN, 0};
  if (::poll(&entry, 1, kPatienceMs) > 0) return {};
  return fail(ErrorKind::unavailable, "the monitor's channel carries half a message");
}

// Exactly n bytes, or none at the peer's end. `passed`: the descriptor that came with them.
Result<std::string> read_exactly(int fd, std::size_t n, UniqueFd& passed) {
  std::string bytes;
  while (bytes.size() < n) {
    auto got = sys::receive_fds(fd, n - bytes.size(), 1);
    // A peer that died with something unread resets the connection: an end like any other.
    if (!got && got.error().errnum == ECONNRESET) return std::string();
    if (!got && got.error().errnum == EAGAIN) {
      TRY(await_piece(fd));
      continue;
    }
    if (!got) return std::unexpected(std::move(got).error().wrap("the monitor's channel"));
    if (got->bytes.empty()) return std::string();
    bytes += got->bytes;
    if (!got->fds.empty()) passed = std::move(got->fds.front());
  }
  return bytes;
}

Result<std::optional<Message>> read_message(int fd) {
  UniqueFd passed;
  const std::string prefix = TRY(read_exactly(fd, sizeof(std::uint32_t), passed));
  if (prefix.empty()) return std::nullopt;
  std::uint32_t length = 0;
  std::memcpy(&length, prefix.data(), sizeof length);
  if (length < kHeader || length > kHeader + kMaxText) {
    return fail(ErrorKind::internal, "the monitor's channel carries a message of a wrong length");
  }
  const std::string body = TRY(read_exactly(fd, length, passed));
  if (body.empty()) return std::nullopt;
  Message message = TRY(decode(body));
  message.fd = std::move(passed);
  return message;
}

}  // namespace

Message answer_of(const Result<void>& outcome) {
  if (outcome) return {MessageType::done, "", {}};
  return {MessageType::failed, "", outcome.error()};
}

Result<void> Channel::send(const Message& message) {
  const std::string bytes = encode(message);
  std::size_t at = 0;
  if (message.fd) {
    // With the first of them, whatever the socket takes of the rest.
    const int fd = message.fd.get();
    TRY(sys::send_fds(socket_.get(), std::string_view(bytes).substr(0, 1), std::span(&fd, 1)));
    at = 1;
  }
  while (at < bytes.size()) {
    const ssize_t n = ::send(socket_.get(), bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "write to the monitor's channel");
    at += static_cast<std::size_t>(n);
  }
  return {};
}

Result<std::optional<Message>> Channel::receive(std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd entry{socket_.get(), POLLIN, 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(std::max(left.count(), std::int64_t{0})));
    if (ready > 0) return read_message(socket_.get());
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return fail_errno(errno, "wait for the monitor");
    return fail(ErrorKind::unavailable,
                fmt::format("the monitor did not answer within {} ms", timeout.count()));
  }
}

Result<Message> Channel::expect(MessageType expected, std::chrono::milliseconds timeout,
                                std::string_view peer) {
  auto message = TRY(receive(timeout));
  if (!message) return fail(ErrorKind::unavailable, fmt::format("{} died", peer));
  if (message->type == MessageType::failed) return std::unexpected(std::move(message->error));
  if (message->type != expected) {
    return fail(ErrorKind::internal, fmt::format("{} is out of step", peer));
  }
  return *std::move(message);
}

Task<std::optional<Message>> Channel::async_receive() {
  auto readable = co_await wait_readable(socket_.get());
  CO_TRY(std::move(readable));
  co_return read_message(socket_.get());
}

}  // namespace agentvm::runtime
