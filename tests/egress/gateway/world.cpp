#include "tests/egress/gateway/world.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "egress/gateway/endpoints.h"
#include "oci/base/json_writer.h"
#include "oci/base/sys.h"

namespace agentvm::egress {

namespace {

constexpr const char* kContainer =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
constexpr std::uint16_t kProxyPort = 15001;
constexpr std::uint16_t kDnsPort = 15053;
constexpr const char* kGateways[] = {"10.213.0.1", "fd61:6774:766d::1"};

// What the runtime puts into a sandbox's namespace, as far as it concerns the gateway.
constexpr const char* kRules = R"(
table inet agentvm {
  chain to_gateway {
    type nat hook prerouting priority dstnat;
    iifname "tap0" meta l4proto { tcp, udp } th dport 53 redirect to :15053
    iifname "tap0" meta l4proto tcp redirect to :15001
  }
})";

void must(const std::vector<std::string>& argv, const std::string& input = {}) {
  e2e::CommandOptions options;
  options.input = input;
  const e2e::Outcome done = e2e::run_command(argv, options);
  EXPECT_EQ(done.status, 0) << fmt::format("{}: {}", fmt::join(argv, " "), done.err);
}

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

int listening(const char* address, std::uint16_t port, int type) {
  const auto endpoint = endpoint_of(parse_address(address).value(), port);
  const int socket = ::socket(endpoint.protocol().family(), type, 0);
  const int one = 1;
  (void)::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (::bind(socket, endpoint.data(), static_cast<socklen_t>(endpoint.size())) != 0) ::_exit(3);
  if (type == SOCK_STREAM && ::listen(socket, 4096) != 0) ::_exit(4);
  return socket;
}

}  // namespace

World::World()
    : inside_(network_.path()),
      outside_(network_.path() + "-out"),
      guest_(network_.path() + "-guest") {
  make_guest();
}

World::~World() {
  kill_gateway();
  must({"ip", "netns", "del", std::filesystem::path(guest_).filename()});
}

void World::make_guest() const {
  const std::string guest = std::filesystem::path(guest_).filename();
  const std::string inside = std::filesystem::path(inside_).filename();
  const auto ip = [](std::vector<std::string> words) {
    words.insert(words.begin(), "ip");
    must(words);
  };
  ip({"netns", "add", guest});
  ip({"-n", guest, "link", "set", "lo", "up"});
  ip({"-n", guest, "link", "add", "eth0", "type", "veth", "peer", "name", "tap0", "netns", inside});
  ip({"-n", guest, "addr", "add", "10.213.0.2/30", "dev", "eth0"});
  ip({"-n", guest, "addr", "add", "fd61:6774:766d::2/64", "dev", "eth0", "nodad"});
  ip({"-n", inside, "addr", "add", "10.213.0.1/30", "dev", "tap0"});
  ip({"-n", inside, "addr", "add", "fd61:6774:766d::1/64", "dev", "tap0", "nodad"});
  ip({"-n", guest, "link", "set", "eth0", "up"});
  ip({"-n", inside, "link", "set", "tap0", "up"});
  ip({"-n", guest, "route", "add", "default", "via", "10.213.0.1"});
  ip({"-n", guest, "-6", "route", "add", "default", "via", "fd61:6774:766d::1"});
  ip({"-n", inside, "-6", "route", "add", "default", "via", "fd88::1"});
  // The links come up by themselves, and IPv6 on them later than IPv4.
  const auto answers = [](const std::string& netns, const char* address) {
    GuestSocket probe(socket_in(netns, AF_INET6, SOCK_STREAM));
    return !probe.connect(address, 1) && errno == ECONNREFUSED;
  };
  EXPECT_TRUE(e2e::eventually([&] { return answers(inside_, "fd88::1"); }));
  EXPECT_TRUE(e2e::eventually([&] { return answers(guest_, "fd61:6774:766d::1"); }));
  redirect(true);
}

void World::redirect(bool on) const {
  if (on) {
    must(network_.inside({"nft", "-f", "-"}), kRules);
    return;
  }
  must(network_.inside({"nft", "delete", "table", "inet", "agentvm"}));
  must(network_.inside({"sysctl", "-q", "-w", "net.ipv4.ip_forward=1"}));
  must(network_.outside({"ip", "route", "replace", "10.213.0.0/30", "via", "10.88.0.2"}));
}

void World::add_address(const std::string& address) const {
  std::vector<std::string> words{"ip", "addr", "add", address, "dev", "lo"};
  // Else an address of IPv6 is only there a moment later.
  if (address.contains(':')) words.emplace_back("nodad");
  must(network_.outside(words));
}

std::string World::settings(const Options& options) {
  JsonWriter rules;
  rules.begin_array();
  for (const std::string& line : options.rules) {
    std::istringstream words(line);
    std::string verdict, target, method, path;
    words >> verdict >> target >> method >> path;
    rules.begin_object();
    rules.key("allow").value(verdict == "allow");
    rules.key("target").value(target);
    rules.key("method").value(method);
    rules.key("path").value(path);
    rules.end_object();
  }
  rules.end_array();
  return fmt::format(R"({{"version":1,"sandbox":"test","container":"{}","default":"{}",)"
                     R"("layers":[{{"name":"user","rules":{}}}]{}{}}})",
                     kContainer, options.otherwise, rules.take(), options.more.empty() ? "" : ",",
                     options.more);
}

std::string World::start(const Options& options) {
  kill_gateway();
  files_.write("gateway.json", settings(options), 0600);
  if (!options.values.empty()) files_.write("values.json", options.values, 0600);
  files_.write("authorities.pem", options.authorities);
  std::filesystem::create_directories(files_ / "log");
  std::filesystem::remove(files_ / "control.sock");
  auto ready = sys::pipe().value();
  const auto directory = sys::open_at(AT_FDCWD, files_.path(), O_RDONLY | O_DIRECTORY).value();
  const UniqueFd control = sys::listen_unix_at(directory.get(), "control.sock", 0660).value();
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const UniqueFd netns(::open(inside_.c_str(), O_RDONLY | O_CLOEXEC));
    if (::setns(netns.get(), CLONE_NEWNET) != 0) ::_exit(1);
    std::vector<std::string> argv{GATEWAY_BINARY};
    const auto give = [&](const char* option, int fd) {
      argv.insert(argv.end(), {option, std::to_string(fd)});
    };
    const auto open = [&](const std::string& name, int flags) {
      return ::open((files_ / name).c_str(), flags);
    };
    give("--settings", open("gateway.json", O_RDONLY));
    if (!options.values.empty()) give("--values", open("values.json", O_RDONLY));
    give("--authorities", open("authorities.pem", O_RDONLY));
    give("--log-dir", open("log", O_RDONLY | O_DIRECTORY));
    give("--control", ::dup(control.get()));
    give("--ready", ::dup(ready.second.get()));
    for (const char* address : kGateways) {
      give("--tcp", listening(address, kProxyPort, SOCK_STREAM));
      give("--dns-tcp", listening(address, kDnsPort, SOCK_STREAM));
      give("--dns-udp", listening(address, kDnsPort, SOCK_DGRAM));
    }
    if (options.resolver) argv.insert(argv.end(), {"--resolver", "10.88.0.1"});
    if (options.ipv6) argv.emplace_back("--ipv6");
    std::vector<char*> pointers;
    for (std::string& word : argv) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    ::dup2(::open((files_ / "errors").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
    ::execv(pointers[0], pointers.data());
    ::_exit(2);
  }
  ready.second.reset();
  return sys::read_all(ready.first.get(), 4096).value();
}

void World::kill_gateway() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

bool World::is_running() const {
  return ::waitpid(pid_, nullptr, WNOHANG) == 0;
}

std::string World::control(const std::string& line) const {
  const auto directory = sys::open_at(AT_FDCWD, files_.path(), O_RDONLY | O_DIRECTORY).value();
  const UniqueFd socket = sys::connect_unix_at(directory.get(), "control.sock").value();
  EXPECT_TRUE(sys::write_all(socket.get(), line + "\n"));
  std::string reply;
  for (char c = 0; ::read(socket.get(), &c, 1) == 1 && c != '\n';) reply += c;
  return reply;
}

std::string World::update(const Options& options) const {
  return control(fmt::format(R"({{"op":"update","settings":{}{}}})", settings(options),
                             options.values.empty() ? "" : ",\"values\":" + options.values));
}

std::string World::log() const {
  return read_text(files_ / "log/decisions.jsonl");
}

std::string World::errors() const {
  return read_text(files_ / "errors");
}

GuestSocket World::socket(int family) const {
  return GuestSocket(socket_in(guest_, family, SOCK_STREAM));
}

GuestSocket World::connect(const std::string& address, std::uint16_t port) const {
  GuestSocket made = socket(is_ipv4(parse_address(address).value()) ? AF_INET : AF_INET6);
  EXPECT_TRUE(made.connect(address, port)) << address << ": " << std::strerror(errno);
  return made;
}

e2e::Outcome World::run(const std::vector<std::string>& argv) const {
  files_.write("etc/resolv.conf", "nameserver 10.213.0.1\n");
  files_.write("etc/nsswitch.conf", "hosts: dns\n");
  std::vector<std::string> all{"nsenter", "--net=" + guest_};
  const auto with = e2e::with_etc(files_ / "etc", argv);
  all.insert(all.end(), with.begin(), with.end());
  return e2e::run_command(all);
}

std::string World::ask(std::string_view query, bool tcp) const {
  GuestSocket made(socket_in(guest_, AF_INET, tcp ? SOCK_STREAM : SOCK_DGRAM));
  EXPECT_TRUE(made.connect("10.213.0.1", 53));
  if (!tcp) {
    made.send(query);
    return made.receive(1);
  }
  std::string whole(query);
  whole.insert(0, {static_cast<char>(query.size() >> 8), static_cast<char>(query.size() & 0xff)});
  made.send(whole);
  std::string reply = made.receive(2);
  if (reply.size() < 2 || reply.starts_with('<')) return reply;
  const auto size = static_cast<std::size_t>(static_cast<unsigned char>(reply[0]) << 8 |
                                             static_cast<unsigned char>(reply[1]));
  if (reply.size() < size + 2) reply += made.receive(size + 2 - reply.size());
  return reply.substr(2);
}

std::string World::resolve(const std::string& name, std::uint16_t type, bool tcp) const {
  const auto answer = parse_dns_answer(ask(write_dns_query(7, {name, type, kDnsInternet}), tcp));
  if (!answer) return answer.error().text();
  switch (answer->code) {
    case kDnsNoError:
      break;
    case kDnsNoSuchName:
      return "NXDOMAIN";
    case kDnsRefused:
      return "REFUSED";
    case kDnsServerFailure:
      return "SERVFAIL";
    default:
      return fmt::format("code {}", answer->code);
  }
  std::vector<std::string> addresses;
  for (const DnsAddress& entry : answer->addresses) addresses.push_back(to_text(entry.address));
  return fmt::format("{}", fmt::join(addresses, " "));
}

}  // namespace agentvm::egress
