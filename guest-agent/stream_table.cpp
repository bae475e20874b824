#include "guest-agent/stream_table.h"

#include <endian.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "guest-agent/socket_wait.h"
#include "oci/base/try.h"
#include "rpc/ports.h"

namespace agentvm::guest {

namespace {

// Exactly the eight bytes: what follows belongs to the process.
Task<std::uint64_t> read_stream_id(int socket, std::chrono::milliseconds patience) {
  std::array<std::byte, sizeof(std::uint64_t)> bytes;
  const auto limit = std::chrono::steady_clock::now() + patience;
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t n = ::recv(socket, &bytes.at(at), bytes.size() - at, MSG_DONTWAIT);
    if (n == 0) co_return fail(ErrorKind::unavailable, "stream ended before its id");
    if (n > 0) {
      at += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN) {
      auto readable = co_await wait_socket(socket, SocketSide::readable, limit);
      CO_TRY(std::move(readable), "wait for a stream's id");
    } else if (errno != EINTR) {
      co_return fail_errno(errno, "read a stream's id");
    }
  }
  std::uint64_t id = 0;
  std::memcpy(&id, bytes.data(), sizeof id);
  co_return le64toh(id);
}

}  // namespace

StreamTable::StreamTable(const asio::any_io_executor& executor, StreamLimits limits)
    : executor_(executor), limits_(limits) {}

Task<void> StreamTable::admit(UniqueFd connection) {
  if (streams_.size() + admitting_ >= limits_.pending) {
    co_return fail(ErrorKind::unavailable, "too many streams that nobody claims");
  }
  ++admitting_;
  auto id = co_await read_stream_id(connection.get(), limits_.handshake);
  --admitting_;
  if (!id) co_return std::unexpected(std::move(id).error());
  if (*id == 0) co_return fail(ErrorKind::invalid_argument, "stream id 0");
  if (streams_.contains(*id)) {
    co_return fail(ErrorKind::already_exists, fmt::format("stream {} is open already", *id));
  }
  // In the table before the answer: whoever has read the answer may claim it.
  const int fd = connection.get();
  Pending& entry = streams_[*id];
  entry.fd = std::move(connection);
  entry.expiry = std::make_unique<Deadline>(executor_, limits_.claim, [this, id = *id] {
    // Not from within the Deadline that this erases.
    asio::post(executor_, [this, id] {
      const auto found = streams_.find(id);
      if (found != streams_.end() && found->second.expiry->expired()) streams_.erase(found);
    });
  });
  const char accepted = rpc::kStreamAccepted;
  if (::send(fd, &accepted, 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1) {
    const int error = errno;
    streams_.erase(*id);
    co_return fail_errno(error, "answer a stream");
  }
  co_return Result<void>();
}

Result<UniqueFd> StreamTable::claim(std::uint64_t id) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) {
    return fail(ErrorKind::not_found, fmt::format("no stream {} is open", id));
  }
  UniqueFd fd = std::move(found->second.fd);
  streams_.erase(found);
  return fd;
}

}  // namespace agentvm::guest
