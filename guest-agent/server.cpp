#include "guest-agent/server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/vm_sockets.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "guest-agent/socket_wait.h"
#include "guest-agent/uevent.h"
#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "rpc/ports.h"

namespace agentvm::guest {

namespace {

constexpr int kBacklog = 128;
// The longest that one connect may take once the device is there.
constexpr std::chrono::seconds kConnectPatience{10};
// Out of descriptors or memory: others have to give some back first.
constexpr std::chrono::milliseconds kAcceptPause{100};

sockaddr_vm vsock_address(std::uint32_t cid, std::uint32_t port) {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = port;
  return address;
}

Result<UniqueFd> listen_vsock_port(std::uint32_t port) {
  UniqueFd fd(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno(errno, "open a vsock socket");
  const sockaddr_vm address = vsock_address(VMADDR_CID_ANY, port);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno(errno, fmt::format("bind vsock port {}", port));
  }
  if (::listen(fd.get(), kBacklog) != 0) {
    return fail_errno(errno, fmt::format("listen on vsock port {}", port));
  }
  return fd;
}

Result<UniqueFd> listen_unix_port(int directory, std::uint32_t port) {
  auto fd = TRY(sys::listen_unix_at(directory, fmt::format("{}", port), 0600));
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) return fail_errno(errno, "set O_NONBLOCK");
  return fd;
}

// One attempt. ENODEV: there is no transport yet.
Task<UniqueFd> connect_host(std::uint32_t port) {
  UniqueFd fd(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) co_return fail_errno(errno, "open a vsock socket");
  // The kernel's own limit is 2 s, which a busy host can miss.
  const timeval patience{kConnectPatience.count(), 0};
  ::setsockopt(fd.get(), AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &patience, sizeof patience);
  const sockaddr_vm address = vsock_address(VMADDR_CID_HOST, port);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
      errno != EINPROGRESS) {
    co_return fail_errno(errno, fmt::format("dial port {} of the host", port));
  }
  auto connected = co_await wait_socket(fd.get(), SocketSide::writable,
                                        std::chrono::steady_clock::now() + kConnectPatience);
  CO_TRY(std::move(connected), "dial port {} of the host", port);
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) co_return fail_errno(error, fmt::format("dial port {} of the host", port));
  co_return std::move(fd);
}

bool from_host(int socket) {
  sockaddr_vm peer{};
  socklen_t size = sizeof peer;
  return ::getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) == 0 &&
         peer.svm_family == AF_VSOCK && peer.svm_cid == VMADDR_CID_HOST;
}

using Take = std::function<void(UniqueFd)>;

asio::awaitable<void> accept_all(std::shared_ptr<UniqueFd> listener, bool only_host, Take take) {
  const auto executor = co_await asio::this_coro::executor;
  for (;;) {
    UniqueFd peer(::accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (peer) {
      if (!only_host || from_host(peer.get())) take(std::move(peer));
      continue;
    }
    if (errno == EAGAIN) {
      (void)co_await wait_readable(listener->get());
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      asio::steady_timer pause(executor, kAcceptPause);
      (void)co_await pause.async_wait(use_result);
    }
  }
}

template <class T>
void log_failure(const Result<T>& outcome, std::string_view doing) {
  if (!outcome) log::debug("{}: {}", doing, outcome.error().text());
}

}  // namespace

Result<Listeners> listen_vsock() {
  Listeners listeners;
  listeners.agent = TRY(listen_vsock_port(rpc::kAgentPort));
  listeners.streams = TRY(listen_vsock_port(rpc::kStreamPort));
  listeners.only_host = true;
  return listeners;
}

Result<Listeners> listen_unix(const std::string& directory) {
  auto fd = TRY(sys::open_at(AT_FDCWD, directory, O_PATH | O_DIRECTORY));
  Listeners listeners;
  listeners.agent = TRY(listen_unix_port(fd.get(), rpc::kAgentPort));
  listeners.streams = TRY(listen_unix_port(fd.get(), rpc::kStreamPort));
  return listeners;
}

Task<UniqueFd> dial_host(std::uint32_t port, std::chrono::milliseconds patience) {
  using Clock = std::chrono::steady_clock;
  // Open before the first attempt, so that no device comes unnoticed in between.
  const auto events = CO_TRY(UeventSocket::open());
  const auto limit = Clock::now() + patience;
  for (;;) {
    auto connected = co_await connect_host(port);
    if (connected || connected.error().errnum != ENODEV) co_return connected;
    const auto happened = co_await events.wait(limit);
    if (!happened) co_return connected;
  }
}

void serve(const asio::any_io_executor& executor, Listeners listeners, rpc::Server& server,
           StreamTable& streams) {
  const auto accept = [&](UniqueFd& listener, Take take) {
    asio::co_spawn(executor,
                   accept_all(std::make_shared<UniqueFd>(std::move(listener)), listeners.only_host,
                              std::move(take)),
                   asio::detached);
  };
  accept(listeners.agent, [executor, &server](UniqueFd peer) {
    spawn<void>(executor, server.serve(std::move(peer)),
                [](const Result<void>& ended) { log_failure(ended, "connection"); });
  });
  accept(listeners.streams, [executor, &streams](UniqueFd peer) {
    spawn<void>(executor, streams.admit(std::move(peer)),
                [](const Result<void>& admitted) { log_failure(admitted, "stream"); });
  });
}

}  // namespace agentvm::guest
