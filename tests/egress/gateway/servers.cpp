#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "egress/gateway/endpoints.h"
#include "egress/host.h"
#include "tests/egress/gateway/world.h"

namespace agentvm::egress {

namespace {

// Nobody waits for so long unless the test has failed.
constexpr timeval kPatience{20, 0};

UniqueFd make_stop() {
  return UniqueFd(::eventfd(0, EFD_CLOEXEC));
}

void stop(int stop_fd, std::thread& thread) {
  const std::uint64_t one = 1;
  EXPECT_EQ(::write(stop_fd, &one, sizeof one), ssize_t{sizeof one});
  thread.join();
}

UniqueFd bind_in(const std::string& netns, const std::string& address, std::uint16_t port,
                 int type) {
  const auto endpoint = endpoint_of(parse_address(address).value(), port);
  UniqueFd socket = socket_in(netns, endpoint.protocol().family(), type);
  const int one = 1;
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  EXPECT_EQ(::bind(socket.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size())), 0)
      << address << ": " << std::strerror(errno);
  if (type == SOCK_STREAM) {
    EXPECT_EQ(::listen(socket.get(), 512), 0);
  }
  return socket;
}

}  // namespace

UniqueFd socket_in(const std::string& netns, int family, int type) {
  UniqueFd made;
  std::thread([&] {
    const UniqueFd there(::open(netns.c_str(), O_RDONLY | O_CLOEXEC));
    if (::setns(there.get(), CLONE_NEWNET) != 0) return;
    made.reset(::socket(family, type | SOCK_CLOEXEC, 0));
  }).join();
  EXPECT_TRUE(made) << netns;
  (void)::setsockopt(made.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  (void)::setsockopt(made.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  return made;
}

EchoServer::EchoServer(const std::string& netns, const std::string& address, std::uint16_t port,
                       std::string banner)
    : listener_(bind_in(netns, address, port, SOCK_STREAM)),
      stop_(make_stop()),
      banner_(std::move(banner)),
      thread_([this] { serve(); }) {}

EchoServer::~EchoServer() {
  stop(stop_.get(), thread_);
}

void EchoServer::serve() {
  std::vector<UniqueFd> clients;
  std::array<char, 65536> buffer;
  for (;;) {
    std::vector<pollfd> states{{stop_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    for (const UniqueFd& client : clients) states.push_back({client.get(), POLLIN, 0});
    if (::poll(states.data(), states.size(), -1) < 0) continue;
    if (states[0].revents != 0) return;
    for (std::size_t i = clients.size(); i-- > 0;) {
      if (states[i + 2].revents == 0) continue;
      const ssize_t got = ::recv(clients[i].get(), buffer.data(), buffer.size(), 0);
      if (got > 0) {
        bytes_ += static_cast<std::uint64_t>(got);
        (void)::send(clients[i].get(), buffer.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL);
      } else {
        clients.erase(clients.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
    if (states[1].revents == 0) continue;
    UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client) continue;
    ++connections_;
    if (!banner_.empty()) (void)::send(client.get(), banner_.data(), banner_.size(), MSG_NOSIGNAL);
    clients.push_back(std::move(client));
  }
}

NameServer::NameServer(const std::string& netns, std::map<std::string, Zone> zones)
    : udp_(bind_in(netns, "10.88.0.1", 53, SOCK_DGRAM)),
      tcp_(bind_in(netns, "10.88.0.1", 53, SOCK_STREAM)),
      stop_(make_stop()),
      zones_(std::move(zones)),
      thread_([this] { serve(); }) {}

NameServer::~NameServer() {
  stop(stop_.get(), thread_);
}

void NameServer::set(const std::string& name, Zone zone) {
  const std::lock_guard lock(mutex_);
  zones_[name] = std::move(zone);
}

std::vector<DnsQuestion> NameServer::questions() const {
  const std::lock_guard lock(mutex_);
  return questions_;
}

namespace {

// One record (RFC 1035, 4.1.3), its name in full.
std::string record_of(const std::string& name, std::uint16_t type, std::uint32_t ttl_s,
                      const std::string& data) {
  std::string record = write_dns_query(0, {name, type, kDnsInternet}).substr(12);
  for (int shift = 24; shift >= 0; shift -= 8) record += static_cast<char>(ttl_s >> shift);
  record += static_cast<char>(data.size() >> 8);
  record += static_cast<char>(data.size());
  return record + data;
}

std::string name_bytes(const std::string& name) {
  const std::string query = write_dns_query(0, {name, 1, 1});
  return query.substr(12, query.size() - 16);
}

}  // namespace

std::string NameServer::answer(std::string_view message, bool tcp) {
  constexpr std::uint16_t kText = 16;
  const auto query = parse_dns_query(message);
  if (!query) return {};
  const std::lock_guard lock(mutex_);
  questions_.push_back(query->question);
  const auto found = zones_.find(query->question.name);
  if (found == zones_.end()) return write_dns_refusal(*query, kDnsNoSuchName);
  const Zone& zone = found->second;
  std::string reply = write_dns_refusal(*query, kDnsNoError);
  if (zone.only_tcp && !tcp) {
    reply[2] = static_cast<char>(reply[2] | 0x02);
    return reply;
  }
  unsigned char count = 0;
  std::string owner = found->first;
  if (!zone.alias.empty()) {
    reply += record_of(owner, kDnsCname, zone.ttl_s, name_bytes(zone.alias));
    owner = zone.alias;
    ++count;
  }
  const std::uint16_t type = query->question.type;
  for (const std::string& text : zone.addresses) {
    const Address address = parse_address(text).value();
    if (type != (is_ipv4(address) ? kDnsA : kDnsAaaa)) continue;
    const auto* bytes = reinterpret_cast<const char*>(address.bytes.data());
    const std::string data = is_ipv4(address) ? std::string(bytes + 12, 4) : std::string(bytes, 16);
    reply += record_of(owner, type, zone.ttl_s, data);
    ++count;
  }
  if (type == kText && !zone.text.empty()) {
    reply += record_of(owner, type, zone.ttl_s, static_cast<char>(zone.text.size()) + zone.text);
    ++count;
  }
  reply[7] = static_cast<char>(count);
  return reply;
}

void NameServer::serve() {
  std::array<char, 4096> buffer;
  for (;;) {
    std::array<pollfd, 3> states{
        {{stop_.get(), POLLIN, 0}, {udp_.get(), POLLIN, 0}, {tcp_.get(), POLLIN, 0}}};
    if (::poll(states.data(), states.size(), -1) < 0) continue;
    if (states[0].revents != 0) return;
    if (states[1].revents != 0) {
      sockaddr_storage from{};
      socklen_t size = sizeof from;
      auto* const peer = reinterpret_cast<sockaddr*>(&from);
      const ssize_t got = ::recvfrom(udp_.get(), buffer.data(), buffer.size(), 0, peer, &size);
      if (got <= 0) continue;
      const std::string reply = answer({buffer.data(), static_cast<std::size_t>(got)}, false);
      (void)::sendto(udp_.get(), reply.data(), reply.size(), 0, peer, size);
    }
    if (states[2].revents != 0) {
      const UniqueFd client(::accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      const ssize_t got = ::recv(client.get(), buffer.data(), buffer.size(), 0);
      if (got <= 2) continue;
      std::string reply = answer({buffer.data() + 2, static_cast<std::size_t>(got - 2)}, true);
      const std::size_t size = reply.size();
      reply.insert(0, {static_cast<char>(size >> 8), static_cast<char>(size & 0xff)});
      (void)::send(client.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
    }
  }
}

bool GuestSocket::connect(const std::string& address, std::uint16_t port) {
  const auto endpoint = endpoint_of(parse_address(address).value(), port);
  return ::connect(socket_.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) == 0;
}

void GuestSocket::send(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void GuestSocket::end() const {
  (void)::shutdown(socket_.get(), SHUT_WR);
}

std::string GuestSocket::receive(std::size_t least) const {
  std::string bytes;
  std::array<char, 65536> buffer;
  while (bytes.size() < least) {
    const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (got == 0) return bytes + "<end>";
    if (got < 0) return bytes + (errno == ECONNRESET ? "<reset>" : std::strerror(errno));
    bytes.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return bytes;
}

}  // namespace agentvm::egress
