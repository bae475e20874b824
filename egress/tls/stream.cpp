#include "egress/tls/stream.h"

#include <openssl/err.h>

#include <cerrno>

#include "egress/tls/socket_bio.h"
#include "oci/base/try.h"

namespace agentvm::egress {

Result<std::unique_ptr<TlsStream>> TlsStream::create(SslPtr ssl, Socket& socket,
                                                     std::string first) {
  BioPtr bio = make_socket_bio(socket, std::move(first));
  if (!ssl || !bio) return fail_openssl(ErrorKind::internal, "begin TLS");
  prepare(socket);
  BIO* const both = bio.release();
  ::SSL_set_bio(ssl.get(), both, both);  // the SSL owns it now
  return std::unique_ptr<TlsStream>(new TlsStream(std::move(ssl), socket));
}

Task<bool> TlsStream::wait_after(int outcome, const char* doing) {
  const int saved_errno = errno;
  auto awaited = Socket::wait_read;
  switch (::SSL_get_error(ssl_.get(), outcome)) {
    case SSL_ERROR_WANT_READ:
      break;
    case SSL_ERROR_WANT_WRITE:
      awaited = Socket::wait_write;
      break;
    case SSL_ERROR_ZERO_RETURN:
      co_return false;
    case SSL_ERROR_SYSCALL:
      if (::ERR_peek_error() == 0) {
        co_return fail_errno(saved_errno != 0 ? saved_errno : ECONNRESET, doing);
      }
      [[fallthrough]];
    default:
      co_return fail_openssl(ErrorKind::unavailable, doing);
  }
  const auto [error] = co_await socket_.async_wait(awaited, use_result);
  if (error) co_return fail_asio(error, doing);
  co_return true;
}

Task<void> TlsStream::handshake() {
  for (;;) {
    ::ERR_clear_error();
    errno = 0;
    const int outcome = ::SSL_do_handshake(ssl_.get());
    if (outcome == 1) co_return Result<void>();
    const long verified = ::SSL_get_verify_result(ssl_.get());
    auto waited = co_await wait_after(outcome, "TLS handshake");
    if (waited && *waited) continue;
    if (verified != X509_V_OK) {
      co_return fail(ErrorKind::unavailable, std::string("its certificate is not valid: ") +
                                                 ::X509_verify_cert_error_string(verified));
    }
    if (!waited) co_return std::unexpected(std::move(waited).error());
    co_return fail(ErrorKind::unavailable, "TLS handshake: the peer closed the connection");
  }
}

std::string_view TlsStream::protocol() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  ::SSL_get0_alpn_selected(ssl_.get(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

Task<std::size_t> TlsStream::read_some(std::span<char> into) {
  for (;;) {
    ::ERR_clear_error();
    errno = 0;
    std::size_t size = 0;
    const int outcome = ::SSL_read_ex(ssl_.get(), into.data(), into.size(), &size);
    if (outcome == 1) co_return size;
    const auto waited = co_await wait_after(outcome, "read TLS");
    if (!waited) co_return std::unexpected(waited.error());
    if (!*waited) co_return 0;
  }
}

Task<void> TlsStream::write(std::string_view bytes) {
  while (!bytes.empty()) {
    ::ERR_clear_error();
    errno = 0;
    std::size_t size = 0;
    const int outcome = ::SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &size);
    if (outcome == 1) {
      bytes.remove_prefix(size);
      continue;
    }
    const auto waited = co_await wait_after(outcome, "write TLS");
    if (!waited) co_return std::unexpected(waited.error());
    if (!*waited) co_return fail(ErrorKind::unavailable, "write TLS: closed");
  }
  co_return Result<void>();
}

Task<bool> TlsStream::wait_input() {
  for (;;) {
    ::ERR_clear_error();
    errno = 0;
    char byte = 0;
    std::size_t size = 0;
    const int outcome = ::SSL_peek_ex(ssl_.get(), &byte, 1, &size);
    if (outcome == 1) co_return true;
    const auto waited = co_await wait_after(outcome, "read TLS");
    if (!waited || !*waited) co_return false;
  }
}

void TlsStream::finish() {
  // Once: says close_notify. The peer's own is read, or not, by who reads.
  ::ERR_clear_error();
  if (::SSL_is_init_finished(ssl_.get())) (void)::SSL_shutdown(ssl_.get());
  ::ERR_clear_error();
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
}

void TlsStream::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

bool TlsStream::is_quiet() {
  if (!socket_.is_open()) return false;
  // Reads what is no data: session tickets come when the server likes.
  ::ERR_clear_error();
  char byte = 0;
  std::size_t size = 0;
  const int outcome = ::SSL_peek_ex(ssl_.get(), &byte, 1, &size);
  const bool quiet = outcome != 1 && ::SSL_get_error(ssl_.get(), outcome) == SSL_ERROR_WANT_READ;
  ::ERR_clear_error();
  return quiet;
}

}  // namespace agentvm::egress
