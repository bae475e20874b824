// A gateway as the runtime starts it, with real networks around it: the guest's namespace, the
// sandbox's with its redirections, and the world with servers. Needs root, iproute2 and nftables.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "egress/dns_message.h"
#include "oci/base/unique_fd.h"
#include "tests/e2e/harness/command.h"
#include "tests/e2e/harness/network.h"
#include "tests/temp_dir.h"

namespace agentvm::egress {

// A socket of another network namespace.
[[nodiscard]] UniqueFd socket_in(const std::string& netns, int family, int type);

// Listens on TCP in a namespace; says `banner` to everybody and gives back what it gets.
class EchoServer {
 public:
  EchoServer(const std::string& netns, const std::string& address, std::uint16_t port,
             std::string banner = {});
  ~EchoServer();
  EchoServer(const EchoServer&) = delete;
  EchoServer& operator=(const EchoServer&) = delete;

  [[nodiscard]] std::uint64_t connections() const { return connections_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  void serve();
  UniqueFd listener_;
  UniqueFd stop_;
  std::string banner_;
  std::atomic<std::uint64_t> connections_ = 0;
  std::atomic<std::uint64_t> bytes_ = 0;
  std::thread thread_;
};

// What a name resolves to; names that are not there do not exist.
struct Zone {
  std::vector<std::string> addresses = {};
  std::string alias = {};
  std::uint32_t ttl_s = 60;
  bool only_tcp = false;  // over UDP: truncated
  std::string text = {};  // of TXT
};

// A name server at 10.88.0.1 of the world, UDP and TCP.
class NameServer {
 public:
  NameServer(const std::string& netns, std::map<std::string, Zone> zones);
  ~NameServer();
  NameServer(const NameServer&) = delete;
  NameServer& operator=(const NameServer&) = delete;

  void set(const std::string& name, Zone zone);
  [[nodiscard]] std::vector<DnsQuestion> questions() const;

 private:
  void serve();
  std::string answer(std::string_view message, bool tcp);
  UniqueFd udp_, tcp_, stop_;
  mutable std::mutex mutex_;
  std::map<std::string, Zone> zones_;
  std::vector<DnsQuestion> questions_;
  std::thread thread_;
};

// A TCP connection of the guest's.
class GuestSocket {
 public:
  explicit GuestSocket(UniqueFd socket) : socket_(std::move(socket)) {}
  [[nodiscard]] bool connect(const std::string& address, std::uint16_t port);
  void send(std::string_view bytes) const;
  void end() const;
  // At least `least` bytes; "<reset>" or "<end>" follows when it came to that first.
  [[nodiscard]] std::string receive(std::size_t least) const;
  [[nodiscard]] std::string rest() const { return receive(SIZE_MAX); }
  [[nodiscard]] int fd() const { return socket_.get(); }

 private:
  UniqueFd socket_;
};

class World {
 public:
  // `rules`: "allow example.test:443", "deny x GET /y"; more of gateway.json in `more`.
  struct Options {
    std::vector<std::string> rules = {};
    std::string otherwise = "deny";
    std::string more = {};
    std::string values = {};       // of values.json; empty: there is none
    std::string authorities = {};  // PEM
    bool ipv6 = true;
    bool resolver = true;
  };
  World();
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  [[nodiscard]] const std::string& outside() const { return outside_; }
  // One more address of the world's.
  void add_address(const std::string& address) const;

  // Whether the guest's connections are redirected; without, they are forwarded as they are.
  void redirect(bool on) const;

  [[nodiscard]] static std::string settings(const Options& options);
  // What it says when it serves, or why it does not.
  std::string start(const Options& options);
  [[nodiscard]] std::string control(const std::string& line) const;
  // "ok" or the error.
  [[nodiscard]] std::string update(const Options& options) const;
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] std::string log() const;
  [[nodiscard]] std::string errors() const;
  [[nodiscard]] bool is_running() const;
  void kill_gateway();

  [[nodiscard]] GuestSocket socket(int family = 2) const;
  [[nodiscard]] GuestSocket connect(const std::string& address, std::uint16_t port) const;
  // A command of the guest's, which asks the gateway for names.
  e2e::Outcome run(const std::vector<std::string>& argv) const;
  // The answer to a question of the guest's; bytes as they are.
  [[nodiscard]] std::string ask(std::string_view query, bool tcp = false) const;
  // "NXDOMAIN", "REFUSED", …, or addresses in order.
  [[nodiscard]] std::string resolve(const std::string& name, std::uint16_t type = kDnsA,
                                    bool tcp = false) const;

 private:
  void make_guest() const;
  e2e::TestNetwork network_;
  TempDir files_;
  std::string inside_, outside_, guest_;
  pid_t pid_ = -1;
};

}  // namespace agentvm::egress
