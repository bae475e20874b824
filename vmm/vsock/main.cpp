// agentvm-vsock: one VM's vsock device. Started by the VM's monitor with all its files open; ends
// with QEMU's connection.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <utility>

#include "oci/base/log.h"
#include "oci/base/try.h"
#include "oci/base/unique_fd.h"
#include "vmm/vsock/confinement.h"
#include "vmm/vsock/device.h"

#ifdef AGENTVM_SANITIZED
// The search for leaks at the end wants a thread and ptrace, which the filter rightly forbids.
extern "C" const char* __asan_default_options() {
  return "detect_leaks=0";
}
#endif

namespace agentvm::vmm::vsock {

namespace {

struct Arguments {
  int vhost_user_fd = -1;
  int vhost_user_listen_fd = -1;
  int listen_fd = -1;
  int socket_dir_fd = -1;
  std::uint32_t guest_cid = 3;
};

Result<void> make_non_blocking(int fd, const char* name) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
    return fail_errno(errno, fmt::format("{} {}", name, fd));
  }
  return {};
}

// QEMU's connection: given, or the first that comes to the listening socket.
Result<UniqueFd> vhost_user_socket(const Arguments& arguments) {
  if (arguments.vhost_user_fd >= 0) return UniqueFd(arguments.vhost_user_fd);
  const UniqueFd listener(arguments.vhost_user_listen_fd);
  for (;;) {
    UniqueFd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (accepted) return accepted;
    if (errno == EAGAIN) {
      pollfd state{.fd = listener.get(), .events = POLLIN, .revents = 0};
      (void)::poll(&state, 1, -1);
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return fail_errno(errno, "accept the vhost-user connection");
    }
  }
}

Result<void> serve(const Arguments& arguments) {
  // A client that goes away is an error of its socket, not the end of the device.
  (void)::signal(SIGPIPE, SIG_IGN);
  if (::fchdir(arguments.socket_dir_fd) != 0)
    return fail_errno(errno, "enter the socket directory");
  const int qemu =
      arguments.vhost_user_fd >= 0 ? arguments.vhost_user_fd : arguments.vhost_user_listen_fd;
  TRY(close_other_fds(std::array{qemu, arguments.listen_fd}));
  TRY(limit_resources());
  boost::asio::io_context io(1);
  UniqueFd vhost_user = TRY(vhost_user_socket(arguments));
  TRY(make_non_blocking(vhost_user.get(), "vhost-user socket"));
  TRY(make_non_blocking(arguments.listen_fd, "listening socket"));
  Device device(io, std::move(vhost_user), UniqueFd(arguments.listen_fd), arguments.guest_cid);
  TRY(restrict_system_calls());
  return device.run();
}

int run(int argc, char** argv) {
  CLI::App app{"The vsock device of one agentvm virtual machine, for QEMU's vhost-user-vsock."};
  Arguments arguments;
  const auto fd = CLI::Range(0, 1 << 20);
  auto* const qemu = app.add_option_group("qemu", "QEMU's connection");
  qemu->add_option("--vhost-user-fd", arguments.vhost_user_fd, "connected unix socket")->check(fd);
  qemu->add_option("--vhost-user-listen-fd", arguments.vhost_user_listen_fd,
                   "listening unix socket; one connection is served")
      ->check(fd);
  qemu->require_option(1);
  app.add_option("--listen-fd", arguments.listen_fd,
                 "listening unix socket for clients, which send \"CONNECT <port>\\n\"")
      ->required()
      ->check(fd);
  app.add_option("--socket-dir-fd", arguments.socket_dir_fd,
                 "directory with the services' sockets, vsock.sock_<port>")
      ->required()
      ->check(fd);
  app.add_option("--guest-cid", arguments.guest_cid, "the guest's CID")
      ->capture_default_str()
      ->check(CLI::Range(3U, 0xfffffffeU));
  CLI11_PARSE(app, argc, argv);
  const auto outcome = serve(arguments);
  if (outcome) return 0;
  log::error("vsock device: {}", outcome.error().text());
  return 1;
}

}  // namespace

}  // namespace agentvm::vmm::vsock

int main(int argc, char** argv) {
  return agentvm::vmm::vsock::run(argc, argv);
}
