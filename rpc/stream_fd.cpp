#include "rpc/stream_fd.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <tuple>
#include <utility>

namespace agentvm::rpc {

namespace {

Result<std::optional<std::size_t>> outcome(ssize_t n, const char* doing) {
  if (n >= 0) return static_cast<std::size_t>(n);
  if (errno == EAGAIN || errno == EWOULDBLOCK) return std::nullopt;
  return fail_errno(errno, doing);
}

template <class Call>
ssize_t retry(Call call) {
  ssize_t n = call();
  while (n < 0 && errno == EINTR) n = call();
  return n;
}

Task<void> wait(asio::posix::stream_descriptor& descriptor,
                asio::posix::descriptor_base::wait_type what) {
  const auto [code] = co_await descriptor.async_wait(what, use_result);
  if (code) co_return fail_asio(code, "wait for the connection");
  co_return Result<void>{};
}

}  // namespace

Result<StreamFd> StreamFd::create(const asio::any_io_executor& executor, UniqueFd fd) {
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return fail_errno(errno, "stat the connection");
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return fail_errno(errno, "make the connection non-blocking");
  }
  asio::posix::stream_descriptor descriptor(executor);
  boost::system::error_code code;
  descriptor.assign(fd.get(), code);
  if (code) return fail_asio(code, "watch the connection");
  std::ignore = fd.release();
  return StreamFd(std::move(descriptor), S_ISSOCK(status.st_mode));
}

Result<std::optional<std::size_t>> StreamFd::try_read(std::span<char> into, int flags) {
  if (!is_open()) return fail_errno(ECANCELED, "read");
  const int fd = descriptor_.native_handle();
  return outcome(retry([&] {
                   return socket_ ? ::recv(fd, into.data(), into.size(), flags)
                                  : ::read(fd, into.data(), into.size());
                 }),
                 "read");
}

Result<std::optional<std::size_t>> StreamFd::try_write(std::string_view bytes) {
  if (!is_open()) return fail_errno(ECANCELED, "write");
  const int fd = descriptor_.native_handle();
  return outcome(retry([&] {
                   return socket_ ? ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL)
                                  : ::write(fd, bytes.data(), bytes.size());
                 }),
                 "write");
}

Task<void> StreamFd::wait_readable() {
  return wait(descriptor_, asio::posix::descriptor_base::wait_read);
}

Task<void> StreamFd::wait_writable() {
  return wait(descriptor_, asio::posix::descriptor_base::wait_write);
}

void StreamFd::cancel() {
  boost::system::error_code ignored;
  descriptor_.cancel(ignored);
}

void StreamFd::hang_up() {
  if (!socket_) {
    close();
  } else if (is_open()) {
    ::shutdown(descriptor_.native_handle(), SHUT_RDWR);
  }
}

void StreamFd::close() {
  boost::system::error_code ignored;
  descriptor_.close(ignored);
}

UniqueFd StreamFd::release() {
  return UniqueFd(descriptor_.release());
}

void spawn(const asio::any_io_executor& executor, asio::awaitable<void> work) {
  asio::co_spawn(executor, std::move(work), asio::detached);
}

}  // namespace agentvm::rpc
