#include "vmm/vsock/client_door.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string_view>
#include <utility>

namespace agentvm::vmm::vsock {

namespace {

constexpr auto kRest = std::chrono::milliseconds(50);

enum class Line : std::uint8_t { whole, partial, unusable };

// Takes bytes up to and with the newline, and none of what the client sent behind it. Without a
// newline everything is taken, so that the socket is not readable again at once.
Line read_line(int socket, std::span<char> line, std::size_t& filled) {
  const std::span<char> room = line.subspan(filled);
  const ssize_t seen = ::recv(socket, room.data(), room.size(), MSG_PEEK | MSG_DONTWAIT);
  if (seen < 0 && (errno == EAGAIN || errno == EINTR)) return Line::partial;
  if (seen <= 0) return Line::unusable;
  const auto bytes = room.first(static_cast<std::size_t>(seen));
  const auto newline = std::ranges::find(bytes, '\n');
  const bool whole = newline != bytes.end();
  const auto count = static_cast<std::size_t>(newline - bytes.begin()) + (whole ? 1 : 0);
  if (::recv(socket, room.data(), count, MSG_DONTWAIT) != static_cast<ssize_t>(count)) {
    return Line::unusable;
  }
  filled += count;
  if (whole) return Line::whole;
  return filled == line.size() ? Line::unusable : Line::partial;
}

}  // namespace

ClientDoor::ClientDoor(boost::asio::io_context& io, UniqueFd listener, Muxer& muxer)
    : io_(io),
      listener_(io.get_executor(), listener.release()),
      pause_(io.get_executor()),
      muxer_(muxer) {
  await_clients();
}

void ClientDoor::resume() {
  await_clients();
}

void ClientDoor::await_clients() {
  if (muxer_.waiting() >= kMaxWaiting || std::exchange(is_awaiting_, true)) return;
  listener_.async_wait(Descriptor::wait_read, [this](const boost::system::error_code& code) {
    is_awaiting_ = false;
    if (code) return;
    if (!accept_clients()) return rest();
    await_clients();
  });
}

bool ClientDoor::accept_clients() {
  while (muxer_.waiting() < kMaxWaiting) {
    UniqueFd client(
        ::accept4(listener_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (client) {
      greet(std::move(client));
    } else if (errno == EAGAIN) {
      return true;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return false;
    }
  }
  return true;
}

// Nothing tells when a file or memory becomes free, and the listener stays readable meanwhile.
void ClientDoor::rest() {
  is_awaiting_ = true;
  pause_.expires_after(kRest);
  pause_.async_wait([this](const boost::system::error_code& code) {
    is_awaiting_ = false;
    if (!code) await_clients();
  });
}

void ClientDoor::greet(UniqueFd client) {
  if (greetings_.size() >= kMaxGreeting) end_greeting(GreetingRef(greetings_.front()));
  auto greeting =
      std::make_shared<Greeting>(Greeting{Descriptor(io_.get_executor(), client.release())});
  greetings_.push_back(greeting);
  // Its line is usually there already.
  on_line_readable(greeting);
}

void ClientDoor::await_line(const GreetingRef& greeting) {
  greeting->socket.async_wait(Descriptor::wait_read,
                              [this, greeting](const boost::system::error_code& code) {
                                if (!code && greeting->socket.is_open()) on_line_readable(greeting);
                              });
}

void ClientDoor::on_line_readable(const GreetingRef& greeting) {
  switch (read_line(greeting->socket.native_handle(), greeting->line, greeting->filled)) {
    case Line::partial:
      return await_line(greeting);
    case Line::unusable:
      return end_greeting(greeting);
    case Line::whole:
      break;
  }
  const std::string_view line(greeting->line.data(), greeting->filled - 1);
  if (const auto port = parse_connect_line(line)) {
    // A refusal closes the client: that is what "no" looks like here.
    (void)muxer_.connect(UniqueFd(greeting->socket.release()), *port);
  }
  end_greeting(greeting);
}

void ClientDoor::end_greeting(const GreetingRef& greeting) {
  boost::system::error_code ignored;
  if (greeting->socket.is_open()) greeting->socket.close(ignored);
  greetings_.remove(greeting);
}

}  // namespace agentvm::vmm::vsock
