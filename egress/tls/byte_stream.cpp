#include "egress/tls/byte_stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/write.hpp>
#include <cerrno>

namespace agentvm::egress {

void prepare(Socket& socket) {
  // A socket that refuses these is about to report why it is of no use.
  const auto set = [&](int level, int name, int value) {
    (void)::setsockopt(socket.native_handle(), level, name, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 15);
  set(IPPROTO_TCP, TCP_KEEPCNT, 4);
}

Task<std::size_t> PlainStream::read_some(std::span<char> into) {
  const auto [error, size] =
      co_await socket_.async_read_some(asio::buffer(into.data(), into.size()), use_result);
  if (error == asio::error::eof) co_return 0;
  if (error) co_return fail_asio(error, "read");
  co_return size;
}

Task<void> PlainStream::write(std::string_view bytes) {
  const auto [error, size] =
      co_await asio::async_write(socket_, asio::buffer(bytes.data(), bytes.size()), use_result);
  if (error) co_return fail_asio(error, "write");
  co_return Result<void>();
}

Task<bool> PlainStream::wait_input() {
  const auto [error] = co_await socket_.async_wait(Socket::wait_read, use_result);
  if (error) co_return fail_asio(error, "read");
  char byte = 0;
  co_return ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void PlainStream::finish() {
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
}

void PlainStream::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

bool PlainStream::is_quiet() {
  char byte = 0;
  return ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
         (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace agentvm::egress
