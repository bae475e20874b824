// Serves HTTP as the gateway does, without the namespace around it: what the tests' clients speak
// to. Names lead to ports of 127.0.0.1.
//
//   http_gateway SETTINGS VALUES AUTHORITIES RECORDS PORT NAME:PORT=PORT...
//
// Listens on 127.0.0.1 and writes that port into the file PORT, then prints "ready". TLS is opened
// for the name that the client says, as a connection to port 443; anything else is taken for HTTP
// to port 80. PORT may be "own": for clients that cannot be told to connect elsewhere, who name the
// gateway's port. The file RECORDS gets a line per request. unpinned.test is pinned to nothing.
#include <sys/prctl.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <map>
#include <span>

#include "egress/client_hello.h"
#include "egress/http/exchange.h"
#include "egress/tls/opener.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::egress::http {
namespace {

constexpr std::size_t kMaxFile = std::size_t{4} << 20;
const Address kAddress = parse_address("93.184.216.34").value();
using Ports = std::map<std::string, std::uint16_t, std::less<>>;

class World final : public Surroundings {
 public:
  World(std::shared_ptr<const Settings> settings, Ports ports, const std::string& records)
      : settings_(std::move(settings)), ports_(std::move(ports)), records_(records) {}

  std::shared_ptr<const Settings> settings() override { return settings_; }
  bool is_pinned(std::string_view name, const Address& /*address*/) override {
    return name != "unpinned.test";
  }
  Task<Socket> connect(const Destination& destination) override {
    const auto port = ports_.find(destination.name + ":" + std::to_string(destination.port));
    if (port == ports_.end()) co_return fail(ErrorKind::unavailable, "nobody is there");
    Socket socket(co_await asio::this_coro::executor);
    const asio::ip::tcp::endpoint endpoint(asio::ip::address_v4::loopback(), port->second);
    const auto [error] = co_await socket.async_connect(endpoint, use_result);
    if (error) co_return fail_asio(error, "connect");
    co_return socket;
  }
  // The port that the client meant when it came with TLS for this name.
  [[nodiscard]] std::uint16_t tls_port(const std::string& name, std::uint16_t own) const {
    return ports_.contains(name + ":" + std::to_string(own)) ? own : 443;
  }
  void record(const RequestRecord& record) override {
    records_ << (record.allowed ? "allow " : "deny ") << record.destination.name << ' '
             << record.method << ' ' << record.path << ' ' << record.bytes_out << ' '
             << record.bytes_in;
    for (const std::string& name : record.credentials) records_ << ' ' << name;
    records_ << ": " << record.reason << std::endl;
  }

 private:
  std::shared_ptr<const Settings> settings_;
  Ports ports_;
  std::ofstream records_;
};

asio::awaitable<void> serve(Socket guest, World& world, TlsOpener& opener) {
  std::string first;
  std::array<char, 4096> bytes{};
  for (;;) {
    const auto [error, size] = co_await guest.async_read_some(asio::buffer(bytes), use_result);
    if (error) co_return;
    first.append(bytes.data(), size);
    if (first.front() != 0x16) {
      Destination somewhere{"", kAddress, 80};
      co_return co_await serve_plain(guest, std::move(first), std::move(somewhere), world);
    }
    const auto hello = parse_client_hello(first);
    if (!hello) co_return;
    if (!*hello) continue;
    const std::uint16_t port = world.tls_port((*hello)->server_name, guest.local_endpoint().port());
    Destination destination{(*hello)->server_name, kAddress, port};
    co_return co_await serve_tls(guest, std::move(first), std::move(destination), (*hello)->alpn,
                                 world, opener);
  }
}

asio::awaitable<void> accept_all(asio::ip::tcp::acceptor& acceptor, World& world,
                                 TlsOpener& opener) {
  for (;;) {
    auto [error, guest] = co_await acceptor.async_accept(use_result);
    if (error) continue;
    asio::co_spawn(acceptor.get_executor(), serve(std::move(guest), world, opener), asio::detached);
  }
}

Result<void> run(std::span<char*> arguments) {
  const std::string values_text = TRY(sys::read_file(arguments[1], kMaxFile));
  auto values = std::make_shared<const Values>(TRY(parse_values(values_text)));
  const std::string settings_text = TRY(sys::read_file(arguments[0], kMaxFile));
  auto settings =
      std::make_shared<const Settings>(TRY(parse_settings(settings_text, std::move(values))));
  const std::string authorities = TRY(sys::read_file(arguments[2], kMaxFile));
  const auto opener =
      TRY(TlsOpener::create(settings->ca_certificate, settings->ca_key.reveal(), authorities));
  asio::io_context io;
  asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  const std::string own = std::to_string(acceptor.local_endpoint().port());
  Ports ports;
  for (const std::string_view pair : arguments.subspan(5)) {
    const std::size_t equals = pair.find('=');
    std::string at(pair.substr(0, equals));
    if (at.ends_with(":own")) at.replace(at.size() - 3, 3, own);
    ports.emplace(std::move(at),
                  static_cast<std::uint16_t>(std::stoi(std::string(pair.substr(equals + 1)))));
  }
  World world(std::move(settings), std::move(ports), arguments[3]);
  std::ofstream(arguments[4]) << own;
  std::puts("ready");
  std::fflush(stdout);
  asio::co_spawn(io, accept_all(acceptor, world, *opener), asio::detached);
  io.run();
  return {};
}

}  // namespace
}  // namespace agentvm::egress::http

int main(int argc, char** argv) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (argc < 6) return 2;
  const auto done =
      agentvm::egress::http::run(std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
  if (!done) std::fprintf(stderr, "%s\n", done.error().text().c_str());
  return done ? 0 : 1;
}
