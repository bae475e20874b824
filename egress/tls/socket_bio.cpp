#include "egress/tls/socket_bio.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace agentvm::egress {

namespace {

struct State {
  Socket& socket;
  std::string first;
  std::size_t at = 0;
};

State& state_of(BIO* bio) {
  return *static_cast<State*>(::BIO_get_data(bio));
}

int read_socket(BIO* bio, char* into, int size) {
  State& state = state_of(bio);
  ::BIO_clear_retry_flags(bio);
  if (size <= 0) return 0;
  if (state.at < state.first.size()) {
    const std::size_t taken =
        std::min(static_cast<std::size_t>(size), state.first.size() - state.at);
    std::memcpy(into, state.first.data() + state.at, taken);
    state.at += taken;
    if (state.at == state.first.size()) {
      state.first = {};
      state.at = 0;
    }
    return static_cast<int>(taken);
  }
  ssize_t got = 0;
  do {
    got = ::recv(state.socket.native_handle(), into, static_cast<std::size_t>(size), MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) ::BIO_set_retry_read(bio);
  return static_cast<int>(got);
}

int write_socket(BIO* bio, const char* bytes, int size) {
  ::BIO_clear_retry_flags(bio);
  if (size <= 0) return 0;
  ssize_t put = 0;
  do {
    put = ::send(state_of(bio).socket.native_handle(), bytes, static_cast<std::size_t>(size),
                 MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (put < 0 && errno == EINTR);
  if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) ::BIO_set_retry_write(bio);
  return static_cast<int>(put);
}

long control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

int destroy(BIO* bio) {
  delete static_cast<State*>(::BIO_get_data(bio));
  ::BIO_set_data(bio, nullptr);
  return 1;
}

const BIO_METHOD* method() {
  static BIO_METHOD* const kMethod = [] {
    BIO_METHOD* made = ::BIO_meth_new(::BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    if (made) {
      ::BIO_meth_set_read(made, read_socket);
      ::BIO_meth_set_write(made, write_socket);
      ::BIO_meth_set_ctrl(made, control);
      ::BIO_meth_set_destroy(made, destroy);
    }
    return made;
  }();
  return kMethod;
}

}  // namespace

BioPtr make_socket_bio(Socket& socket, std::string first) {
  BioPtr bio(method() ? ::BIO_new(method()) : nullptr);
  if (!bio) return nullptr;
  ::BIO_set_data(bio.get(), new State{socket, std::move(first), 0});
  ::BIO_set_init(bio.get(), 1);
  return bio;
}

}  // namespace agentvm::egress
