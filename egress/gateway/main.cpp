// agentvm-gateway: what a sandbox's network ends in. Started by the runtime in the sandbox's
// network namespace with all its files open; see docs/man/agentvm-gateway.8.
#include <fmt/format.h>
#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "egress/gateway/confinement.h"
#include "egress/gateway/control.h"
#include "egress/gateway/dns_server.h"
#include "egress/gateway/tcp_proxy.h"
#include "egress/tls/opener.h"
#include "oci/base/log.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

#ifdef AGENTVM_SANITIZED
// The search for leaks at the end wants a thread and ptrace, which the filter rightly forbids.
extern "C" const char* __asan_default_options() {
  return "detect_leaks=0";
}
#endif

namespace agentvm::egress {

namespace {

using asio::ip::tcp;
using asio::ip::udp;
using Unix = asio::local::stream_protocol;

constexpr std::size_t kMaxAuthorities = std::size_t{4} << 20;

struct Arguments {
  int settings = -1;
  int values = -1;
  int authorities = -1;
  int control = -1;
  int log_dir = -1;
  int ready = -1;
  std::vector<int> tcp, dns_udp, dns_tcp;
  std::vector<std::string> resolvers;
  bool ipv6 = false;
};

bool is_ipv6(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  return ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
         address.ss_family == AF_INET6;
}

// A socket that was handed over, as one of Asio's.
template <class Object, class Protocol>
Result<Object> adopt(asio::io_context& io, Protocol protocol, int fd, const char* option) {
  Object object(io);
  boost::system::error_code code;
  (void)object.assign(protocol, fd, code);
  if (!code) (void)object.native_non_blocking(true, code);
  if (code) return fail_asio(code, fmt::format("{} {}", option, fd));
  return object;
}

Result<std::shared_ptr<const Settings>> load_settings(const Arguments& arguments) {
  std::shared_ptr<const Values> values = std::make_shared<Values>();
  if (arguments.values >= 0) {
    const UniqueFd file(arguments.values);
    std::string text = TRY(sys::read_all(file.get(), kMaxSettingsBytes), "values");
    values = std::make_shared<const Values>(TRY(parse_values(text), "values"));
    ::explicit_bzero(text.data(), text.size());
  }
  const UniqueFd file(arguments.settings);
  std::string text = TRY(sys::read_all(file.get(), kMaxSettingsBytes), "settings");
  Settings settings = TRY(parse_settings(text, std::move(values)), "settings");
  ::explicit_bzero(text.data(), text.size());
  return std::make_shared<const Settings>(std::move(settings));
}

Result<std::shared_ptr<TlsOpener>> load_opener(const Arguments& arguments,
                                               const Settings& settings) {
  std::string authorities;
  if (arguments.authorities >= 0) {
    const UniqueFd file(arguments.authorities);
    authorities = TRY(sys::read_all(file.get(), kMaxAuthorities), "authorities");
  }
  if (settings.ca_certificate.empty()) return nullptr;
  return TRY(TlsOpener::create(settings.ca_certificate, settings.ca_key.reveal(), authorities),
             "the sandbox's authority");
}

Result<GatewayState> load_state(const Arguments& arguments) {
  auto settings = TRY(load_settings(arguments));
  auto opener = TRY(load_opener(arguments, *settings));
  DecisionLog log = TRY(DecisionLog::create(UniqueFd(arguments.log_dir), settings->sandbox));
  std::vector<udp::endpoint> resolvers;
  for (const std::string& text : arguments.resolvers) {
    resolvers.push_back(TRY(parse_resolver(text)));
  }
  return GatewayState{.settings = std::move(settings),
                      .log = std::move(log),
                      .resolver = Resolver(std::move(resolvers)),
                      .opener = std::move(opener),
                      .ipv6 = arguments.ipv6};
}

// The parts of one gateway, made before it is confined.
class Gateway {
 public:
  Gateway(GatewayState state, std::size_t connections)
      : state_(std::move(state)), proxy_(state_, names_, connections) {}

  Result<void> listen(const Arguments& arguments) {
    for (const int fd : arguments.tcp) {
      const auto protocol = is_ipv6(fd) ? tcp::v6() : tcp::v4();
      proxy_.serve(TRY(adopt<tcp::acceptor>(io_, protocol, fd, "--tcp")));
    }
    for (const int fd : arguments.dns_tcp) {
      const auto protocol = is_ipv6(fd) ? tcp::v6() : tcp::v4();
      dns_.serve_tcp(TRY(adopt<tcp::acceptor>(io_, protocol, fd, "--dns-tcp")));
    }
    for (const int fd : arguments.dns_udp) {
      const auto protocol = is_ipv6(fd) ? udp::v6() : udp::v4();
      dns_.serve_udp(TRY(adopt<udp::socket>(io_, protocol, fd, "--dns-udp")));
    }
    control_.serve(TRY(adopt<Unix::acceptor>(io_, Unix(), arguments.control, "--control")));
    proxy_.watch_idle(io_.get_executor());
    return {};
  }

  void run() { io_.run(); }

 private:
  // Last to go: connections that are left refer to everything else.
  GatewayState state_;
  NameService names_{state_};
  DnsServer dns_{state_, names_};
  TcpProxy proxy_;
  Control control_{state_, proxy_};
  asio::io_context io_{1};
};

Result<void> tell(int ready, std::string_view line) {
  const UniqueFd file(ready);
  return sys::write_all(file.get(), fmt::format("{}\n", line));
}

Result<std::unique_ptr<Gateway>> prepare(const Arguments& arguments) {
  // Peers that go away are errors of their sockets, not the end of the gateway.
  (void)::signal(SIGPIPE, SIG_IGN);
  // What large updates leave goes back to the system.
  (void)::mallopt(M_TRIM_THRESHOLD, 256 << 10);
  (void)::mallopt(M_MMAP_THRESHOLD, 256 << 10);
  const std::size_t connections = TRY(limit_resources(TcpProxy::kMaxConnections));
  GatewayState state = TRY(load_state(arguments));
  auto gateway = std::make_unique<Gateway>(std::move(state), connections);
  TRY(gateway->listen(arguments));
  TRY(confine());
  (void)::malloc_trim(0);
  return gateway;
}

void add_options(CLI::App& app, Arguments& arguments) {
  const auto fd = CLI::Range(0, 1 << 20);
  app.add_option("--settings", arguments.settings, "file: gateway.json")->required()->check(fd);
  app.add_option("--values", arguments.values, "file: values.json")->check(fd);
  app.add_option("--authorities", arguments.authorities,
                 "file: certificates in PEM that upstreams of opened TLS are verified with")
      ->check(fd);
  app.add_option("--control", arguments.control, "listening unix stream socket")
      ->required()
      ->check(fd);
  app.add_option("--log-dir", arguments.log_dir, "directory for decisions.jsonl")
      ->required()
      ->check(fd);
  app.add_option("--tcp", arguments.tcp,
                 "listening TCP socket that the guest's connections are redirected to")
      ->required()
      ->check(fd);
  app.add_option("--dns-udp", arguments.dns_udp, "UDP socket for the guest's port 53")->check(fd);
  app.add_option("--dns-tcp", arguments.dns_tcp, "listening TCP socket for the guest's port 53")
      ->check(fd);
  app.add_option("--resolver", arguments.resolvers, "ADDRESS[:PORT] of an upstream name server")
      ->expected(1, static_cast<int>(Resolver::kMaxServers));
  app.add_option("--ready", arguments.ready,
                 "pipe: told \"ready\" when it serves, or the error, then closed")
      ->check(fd);
  app.add_flag("--ipv6", arguments.ipv6, "the namespace reaches IPv6");
}

int run(int argc, char** argv) {
  CLI::App app{
      "The network gateway of one agentvm sandbox. Started by the runtime; all numbers are "
      "of open files."};
  Arguments arguments;
  add_options(app, arguments);
  CLI11_PARSE(app, argc, argv);
  const auto gateway = prepare(arguments);
  if (!gateway) {
    const std::string text = "gateway: " + gateway.error().text();
    log::error("{}", text);
    if (arguments.ready >= 0) (void)tell(arguments.ready, text);
    return 1;
  }
  if (arguments.ready >= 0) {
    if (const auto told = tell(arguments.ready, "ready"); !told) {
      log::error("gateway: {}", told.error().text());
      return 1;
    }
  }
  (*gateway)->run();
  return 0;
}

}  // namespace

}  // namespace agentvm::egress

int main(int argc, char** argv) {
  return agentvm::egress::run(argc, argv);
}
