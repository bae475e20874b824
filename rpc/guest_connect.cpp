#include "rpc/guest_connect.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "rpc/ports.h"
#include "rpc/status.h"
#include "rpc/stream_fd.h"

namespace agentvm::rpc {

namespace {

// "OK 4294967295\n" has 14.
constexpr std::size_t kMaxAnswerBytes = 32;

// Closes `stream` once the time is over, and knows that it did.
class Deadline {
 public:
  Deadline(StreamFd& stream, const asio::any_io_executor& executor,
           std::chrono::milliseconds timeout)
      : timeout_(timeout), timer_(executor, timeout), passed_(std::make_shared<bool>(false)) {
    // The handler may be on its way already when this object is destroyed: then the code is
    // success although nobody is there any more.
    timer_.async_wait([alive = std::weak_ptr<bool>(passed_), &stream](const auto& code) {
      const auto passed = alive.lock();
      if (code || !passed) return;
      *passed = true;
      stream.close();
    });
  }

  // The error of a step, or that the time was over.
  [[nodiscard]] std::unexpected<Error> tell(Error error, std::string_view doing) const {
    if (*passed_) {
      error = {ErrorKind::unavailable, 0, fmt::format("no answer within {} ms", timeout_.count())};
    }
    if (error.errnum != ECANCELED) error.kind = ErrorKind::unavailable;
    return std::unexpected(std::move(error).wrap(doing));
  }

 private:
  std::chrono::milliseconds timeout_;
  asio::steady_timer timer_;
  std::shared_ptr<bool> passed_;
};

struct GuestSocket {
  int dir_fd;
  std::string name;
  std::uint32_t port;
};

Task<void> write_all(StreamFd& stream, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = CO_TRY(stream.try_write(bytes));
    if (n) {
      bytes.remove_prefix(*n);
      continue;
    }
    const auto waited = co_await stream.wait_writable();
    CO_TRY(Result<void>(waited));
  }
  co_return Result<void>{};
}

// At most into.size() bytes, at least one; they stay in the socket with MSG_PEEK.
Task<std::size_t> read_some(StreamFd& stream, std::span<char> into, int flags) {
  for (;;) {
    const auto n = CO_TRY(stream.try_read(into, flags));
    if (n && *n == 0)
      co_return fail(ErrorKind::unavailable, "the connection was closed without an answer");
    if (n) co_return *n;
    const auto waited = co_await stream.wait_readable();
    CO_TRY(Result<void>(waited));
  }
}

// A line without its newline. Looks before it takes: the byte after the newline is the guest's.
Task<std::string> read_line(StreamFd& stream) {
  std::string line;
  std::array<char, kMaxAnswerBytes> seen;
  while (line.size() < kMaxAnswerBytes) {
    const std::span<char> room(seen.data(), kMaxAnswerBytes - line.size());
    const auto peeked = co_await read_some(stream, room, MSG_PEEK);
    const std::size_t n = CO_TRY(Result<std::size_t>(peeked));
    const std::string_view bytes(seen.data(), n);
    const std::size_t newline = bytes.find('\n');
    const std::size_t take = newline == std::string_view::npos ? n : newline + 1;
    const auto taken = co_await read_some(stream, room.first(take), 0);
    CO_TRY(Result<std::size_t>(taken));
    line.append(bytes.substr(0, take));
    if (newline != std::string_view::npos) {
      line.pop_back();
      co_return line;
    }
  }
  co_return fail(ErrorKind::unavailable,
                 fmt::format("the answer '{}' has no end", printable(line, kMaxAnswerBytes)));
}

bool is_ok(std::string_view line) {
  constexpr std::string_view kOk = "OK ";
  if (!line.starts_with(kOk) || line.size() == kOk.size()) return false;
  line.remove_prefix(kOk.size());
  return std::ranges::all_of(line, [](char c) { return c >= '0' && c <= '9'; });
}

Result<UniqueFd> open_socket(const GuestSocket& guest) {
  auto fd = sys::connect_unix_at(guest.dir_fd, guest.name, SOCK_NONBLOCK);
  if (fd) return fd;
  Error error = std::move(fd).error();
  // No errno in these: Docker takes "no such file" for a missing program of the user's.
  if (error.errnum == ENOENT || error.errnum == ECONNREFUSED) {
    return fail(ErrorKind::unavailable,
                fmt::format("nobody serves the VM's vsock socket '{}'", guest.name));
  }
  if (error.errnum == EAGAIN) {
    return fail(ErrorKind::unavailable,
                fmt::format("the VM's vsock socket '{}' takes no more connections", guest.name));
  }
  error.kind = ErrorKind::unavailable;
  return std::unexpected(std::move(error));
}

Task<void> ask_for_port(StreamFd& stream, std::uint32_t port) {
  const auto sent = co_await write_all(stream, fmt::format("CONNECT {}\n", port));
  CO_TRY(Result<void>(sent));
  auto line = co_await read_line(stream);
  const std::string answer = CO_TRY(std::move(line));
  if (is_ok(answer)) co_return Result<void>{};
  co_return fail(ErrorKind::unavailable,
                 fmt::format("the answer was '{}'", printable(answer, kMaxAnswerBytes)));
}

Task<void> ask_for_stream(StreamFd& stream, std::uint64_t stream_id) {
  std::string id;
  for (int shift = 0; shift < 64; shift += 8) id.push_back(static_cast<char>(stream_id >> shift));
  const auto sent = co_await write_all(stream, id);
  CO_TRY(Result<void>(sent));
  std::array<char, 1> answer;
  const auto got = co_await read_some(stream, answer, 0);
  CO_TRY(Result<std::size_t>(got));
  if (answer[0] == kStreamAccepted) co_return Result<void>{};
  co_return fail(ErrorKind::unavailable, fmt::format("the answer was byte 0x{:02x}",
                                                     static_cast<unsigned char>(answer[0])));
}

// Without `stream_id` only the connection.
Task<UniqueFd> connect(GuestSocket guest, std::optional<std::uint64_t> stream_id,
                       std::chrono::milliseconds timeout) {
  if (stream_id == 0U) co_return fail(ErrorKind::invalid_argument, "stream id 0");
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  auto socket = CO_TRY(open_socket(guest));
  auto stream = CO_TRY(StreamFd::create(executor, std::move(socket)));
  const Deadline deadline(stream, executor, timeout);
  const auto connected = co_await ask_for_port(stream, guest.port);
  if (!connected) {
    co_return deadline.tell(connected.error(),
                            fmt::format("connect to port {} of the guest", guest.port));
  }
  if (stream_id) {
    const auto taken = co_await ask_for_stream(stream, *stream_id);
    if (!taken) {
      co_return deadline.tell(taken.error(),
                              fmt::format("open stream {:016x} of the guest", *stream_id));
    }
  }
  co_return stream.release();
}

}  // namespace

Task<UniqueFd> connect_guest(int socket_dir_fd, std::string socket_name, std::uint32_t port,
                             std::chrono::milliseconds timeout) {
  return connect({socket_dir_fd, std::move(socket_name), port}, std::nullopt, timeout);
}

Task<UniqueFd> open_guest_stream(int socket_dir_fd, std::string socket_name,
                                 std::uint64_t stream_id, std::chrono::milliseconds timeout) {
  return connect({socket_dir_fd, std::move(socket_name), kStreamPort}, stream_id, timeout);
}

}  // namespace agentvm::rpc
