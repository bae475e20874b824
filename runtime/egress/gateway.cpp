#include "runtime/egress/gateway.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "vmm/console.h"
#include "vmm/jail.h"

namespace agentvm::runtime {

namespace {

constexpr unsigned kPart = 2;  // after QEMU's and the vsock backend's
constexpr std::uint64_t kFiles = 16'384;
constexpr std::uint64_t kThreads = 16;
constexpr const char* kLogInJail = "log";
constexpr std::size_t kMostWords = 4096;
constexpr int kMostLines = 100;

Result<UniqueFd> bind_socket(int type, const std::string& address, std::uint16_t& port) {
  sockaddr_in6 six{};
  sockaddr_in four{};
  sockaddr* at = reinterpret_cast<sockaddr*>(&six);
  socklen_t size = sizeof six;
  six.sin6_family = AF_INET6;
  if (::inet_pton(AF_INET6, address.c_str(), &six.sin6_addr) != 1) {
    four.sin_family = AF_INET;
    (void)::inet_pton(AF_INET, address.c_str(), &four.sin_addr);
    at = reinterpret_cast<sockaddr*>(&four);
    size = sizeof four;
  }
  UniqueFd socket(::socket(at->sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket || ::bind(socket.get(), at, size) != 0 ||
      (type == SOCK_STREAM && ::listen(socket.get(), SOMAXCONN) != 0) ||
      ::getsockname(socket.get(), at, &size) != 0) {
    return fail_errno(errno, fmt::format("listen on {}", address));
  }
  port = ntohs(at->sa_family == AF_INET ? four.sin_port : six.sin6_port);
  return socket;
}

// The program's command line, and which descriptor each of its numbers is.
class Invocation {
 public:
  explicit Invocation(vmm::JailSpec& spec) : spec_(spec) {}

  void word(std::string text) { spec_.argv.push_back(std::move(text)); }
  void option(const char* name, int fd) {
    if (fd >= 0) add(name, vmm::JailFd{fd, {}});
  }
  void directory(const char* name, const char* in_jail) {
    add(name, vmm::JailFd{-1, std::string("/") + in_jail});
  }

 private:
  void add(const char* name, vmm::JailFd fd) {
    word(name);
    word(std::to_string(spec_.fds.size()));
    spec_.fds.push_back(std::move(fd));
  }
  vmm::JailSpec& spec_;
};

void enclose(const GatewayOrder& order, vmm::JailSpec& spec) {
  spec.namespaces = vmm::all_namespaces() & ~std::uint64_t{CLONE_NEWNET};
  spec.filter = vmm::SyscallFilter::unprivileged_network;
  spec.user = vmm::JailUser{order.uid, order.uid, {}, 0};
  vmm::enclose_program(spec);
  vmm::JailEntry log;
  log.kind = vmm::JailEntry::Kind::bind;
  log.path = kLogInJail;
  log.source_fd = order.log_directory.get();
  log.writable = true;
  spec.root->push_back(std::move(log));
}

vmm::JailSpec describe(const GatewayOrder& order, int ready, int errors) {
  vmm::JailSpec spec;
  spec.name = "gateway";
  spec.program = order.program;
  spec.env = {"LANG=C.UTF-8"};
  spec.fds = {vmm::JailFd{}, vmm::JailFd{errors, {}}, vmm::JailFd{errors, {}}};
  // A core holds secrets.
  spec.limits = {{RLIMIT_CORE, 0}, {RLIMIT_NOFILE, kFiles}};
  if (order.jail) {
    enclose(order, spec);
    spec.limits.push_back({RLIMIT_NPROC, kThreads});
  }
  Invocation program(spec);
  program.word(spec.program);
  program.option("--settings", order.files.settings.get());
  program.option("--values", order.files.values.get());
  program.option("--authorities", order.authorities.get());
  program.option("--control", order.control.get());
  if (order.jail) {
    program.directory("--log-dir", kLogInJail);
  } else {
    program.option("--log-dir", order.log_directory.get());
  }
  for (const GatewaySockets& sockets : order.sockets) {
    program.option("--tcp", sockets.tcp.get());
    program.option("--dns-udp", sockets.dns_udp.get());
    program.option("--dns-tcp", sockets.dns_tcp.get());
  }
  for (const std::string& resolver : order.resolvers) {
    program.word("--resolver");
    // RFC 3986's form: a port may follow.
    program.word(resolver.contains(':') ? "[" + resolver + "]" : resolver);
  }
  if (order.ipv6) program.word("--ipv6");
  program.option("--ready", ready);
  return spec;
}

// Everything until `fd` ends, at most `most` bytes; what is past them is dropped.
Task<std::string> read_words(int fd, std::size_t most) {
  std::string words;
  for (;;) {
    auto readable = co_await wait_readable(fd);
    CO_TRY(std::move(readable));
    std::array<char, 1024> bytes;
    const ssize_t n = ::read(fd, bytes.data(), bytes.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) co_return words;
    words.append(bytes.data(), std::min(static_cast<std::size_t>(n), most - words.size()));
  }
}

// It parses what a guest sends: its words are a guest's until the contrary is known.
std::string printable(std::string_view words) {
  vmm::ConsoleTail tail;
  tail.add(words);
  return tail.text();
}

Task<void> relay_to_log(UniqueFd errors, std::string sandbox) {
  int lines = 0;
  std::string pending;
  for (;;) {
    auto readable = co_await wait_readable(errors.get());
    CO_TRY(std::move(readable));
    std::array<char, 1024> bytes;
    const ssize_t n = ::read(errors.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) co_return Result<void>{};
    pending.append(bytes.data(), static_cast<std::size_t>(n));
    for (std::size_t end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
      const std::string line = printable(std::string_view(pending).substr(0, end));
      pending.erase(0, end + 1);
      if (lines++ < kMostLines) log::warning("agent sandbox '{}': its gateway: {}", sandbox, line);
    }
    // A line without an end is none.
    if (pending.size() > kMostWords) pending.clear();
  }
}

// Closes the pipe's end that a gateway which neither serves nor ends would keep us waiting at.
Task<std::string> await_word(const vmm::Child& child, int ready,
                             std::chrono::milliseconds timeout) {
  asio::steady_timer patience(co_await asio::this_coro::executor, timeout);
  auto late = std::make_shared<bool>(false);
  patience.async_wait([late, &child](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    *late = true;
    child.kill();
  });
  auto words = co_await read_words(ready, kMostWords);
  patience.cancel();
  if (*late) {
    co_return fail(ErrorKind::unavailable,
                   fmt::format("the gateway did not serve within {} ms (vm.request_timeout_ms)",
                               timeout.count()));
  }
  co_return words;
}

}  // namespace

Result<GatewaySockets> open_gateway_sockets(const std::string& address) {
  GatewaySockets sockets;
  sockets.tcp = TRY(bind_socket(SOCK_STREAM, address, sockets.ports.tcp));
  sockets.dns_udp = TRY(bind_socket(SOCK_DGRAM, address, sockets.ports.dns_udp));
  sockets.dns_tcp = TRY(bind_socket(SOCK_STREAM, address, sockets.ports.dns_tcp));
  return sockets;
}

uid_t gateway_uid(pid_t monitor) {
  return vmm::uid_of_part(monitor, kPart);
}

UniqueFd open_authorities() {
  for (const char* place : {"/etc/ssl/certs/ca-certificates.crt",  // Debian
                            "/etc/pki/tls/certs/ca-bundle.crt",    // Fedora
                            "/etc/ssl/ca-bundle.pem"}) {           // SUSE
    UniqueFd file(::open(place, O_RDONLY | O_CLOEXEC));
    if (file) return file;
  }
  return {};
}

Task<std::unique_ptr<Gateway>> Gateway::start(GatewayOrder order,
                                              std::chrono::milliseconds timeout) {
  auto [ready, ready_theirs] = CO_TRY(sys::pipe());
  auto [errors, errors_theirs] = CO_TRY(sys::pipe());
  const vmm::JailSpec spec = describe(order, ready_theirs.get(), errors_theirs.get());
  auto begun = CO_TRY(vmm::JailStart::begin(spec));
  auto finished = co_await std::move(begun).finish();
  std::unique_ptr<Gateway> gateway(new Gateway(CO_TRY(std::move(finished))));
  const std::string sandbox = order.sandbox;
  order = {};
  ready_theirs.reset();
  errors_theirs.reset();
  spawn<void>(co_await asio::this_coro::executor, relay_to_log(std::move(errors), sandbox));
  auto said = co_await await_word(gateway->child_, ready.get(), timeout);
  const std::string words = CO_TRY(std::move(said));
  if (words == "ready\n") co_return std::move(gateway);
  co_return fail(ErrorKind::failed_precondition,
                 words.empty() ? "the gateway ended before it served"
                               : fmt::format("the gateway: {}", printable(words)));
}

void Gateway::end() {
  child_.kill();
  (void)child_.wait_killed();
}

}  // namespace agentvm::runtime
