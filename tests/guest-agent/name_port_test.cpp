// The resolver's port in the kernel: programs attached to a real cgroup, sockets of processes in
// it, in network namespaces of their own.
#include "guest-agent/network/name_port.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>

#include "test_cgroup.h"

namespace agentvm::guest {
namespace {

constexpr const char* kResolver = "127.0.0.11";
constexpr std::uint16_t kAgentsPort = 61000;
constexpr std::uint16_t kDns = 53;

sockaddr_in resolver(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  ::inet_pton(AF_INET, kResolver, &address.sin_addr);
  return address;
}

template <class Address>
sockaddr* raw(Address& address) {
  return reinterpret_cast<sockaddr*>(&address);
}

UniqueFd open_socket(int family, int type) {
  UniqueFd fd(::socket(family, type | SOCK_CLOEXEC, 0));
  const timeval patience{10, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return fd;
}

bool enter_new_namespace() {
  if (::unshare(CLONE_NEWNET) != 0) return false;
  ifreq loopback{};
  std::string("lo").copy(loopback.ifr_name, sizeof loopback.ifr_name);
  loopback.ifr_flags = IFF_UP;
  return ::ioctl(open_socket(AF_INET, SOCK_DGRAM).get(), SIOCSIFFLAGS, &loopback) == 0;
}

// The agent's end: one question, one answer.
bool answer_one(int server) {
  sockaddr_storage from{};
  socklen_t size = sizeof from;
  char question = 0;
  return ::recvfrom(server, &question, 1, 0, raw(from), &size) == 1 &&
         ::sendto(server, "a", 1, 0, raw(from), size) == 1;
}

// errno of a question on a connected socket, 0 when it is answered by `server`.
int ask_connected(int server) {
  const UniqueFd client = open_socket(AF_INET, SOCK_DGRAM);
  sockaddr_in to = resolver(kDns);
  if (::connect(client.get(), raw(to), sizeof to) != 0) return errno;
  if (::send(client.get(), "q", 1, 0) != 1) return errno;
  if (server >= 0 && !answer_one(server)) return EPROTO;
  char answer = 0;
  return ::recv(client.get(), &answer, 1, 0) == 1 ? 0 : errno;
}

// Where an answer to a datagram seems to come from.
std::uint16_t ask_by_ipv4(int server) {
  const UniqueFd client = open_socket(AF_INET, SOCK_DGRAM);
  sockaddr_in to = resolver(kDns);
  if (::sendto(client.get(), "q", 1, 0, raw(to), sizeof to) != 1 || !answer_one(server)) return 0;
  sockaddr_in from{};
  socklen_t size = sizeof from;
  char answer = 0;
  return ::recvfrom(client.get(), &answer, 1, 0, raw(from), &size) == 1 ? ntohs(from.sin_port) : 0;
}

std::uint16_t ask_by_ipv6(int server) {
  const UniqueFd client = open_socket(AF_INET6, SOCK_DGRAM);
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(kDns);
  ::inet_pton(AF_INET6, "::ffff:127.0.0.11", &to.sin6_addr);
  if (::sendto(client.get(), "q", 1, 0, raw(to), sizeof to) != 1 || !answer_one(server)) return 0;
  sockaddr_in6 from{};
  socklen_t size = sizeof from;
  char answer = 0;
  return ::recvfrom(client.get(), &answer, 1, 0, raw(from), &size) == 1 ? ntohs(from.sin6_port) : 0;
}

std::uint16_t peer_of_stream() {
  const UniqueFd client = open_socket(AF_INET, SOCK_STREAM);
  sockaddr_in to = resolver(kDns);
  if (::connect(client.get(), raw(to), sizeof to) != 0) return 0;
  sockaddr_in peer{};
  socklen_t size = sizeof peer;
  return ::getpeername(client.get(), raw(peer), &size) == 0 ? ntohs(peer.sin_port) : 0;
}

class NamePortTest : public CgroupTest {
 protected:
  // What `body` returns in a process below the cgroup, in a network namespace of its own, with the
  // sockets of an agent.
  int inside(const std::function<int(int datagrams)>& body) const {
    const std::string leaf = root_ + "/leaf";
    EXPECT_EQ(::mkdir(leaf.c_str(), 0755), 0);
    const pid_t pid = start_in(leaf, [&] {
      if (!enter_new_namespace()) return 90;
      const UniqueFd datagrams = open_socket(AF_INET, SOCK_DGRAM);
      const UniqueFd streams = open_socket(AF_INET, SOCK_STREAM);
      sockaddr_in own = resolver(kAgentsPort);
      if (::bind(datagrams.get(), raw(own), sizeof own) != 0) return 91;
      if (::bind(streams.get(), raw(own), sizeof own) != 0) return 92;
      if (::listen(streams.get(), 8) != 0) return 93;
      return body(datagrams.get());
    });
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
  }
};

TEST_F(NamePortTest, QuestionsToPort53ArriveAndAnswersComeFromThere) {
  EXPECT_EQ(inside([this](int datagrams) {
              const auto port = NamePort::create(root_.c_str(), kAgentsPort);
              if (!port) return 1;
              if (ask_by_ipv4(datagrams) != kDns) return 2;
              if (ask_connected(datagrams) != 0) return 3;
              if (ask_by_ipv6(datagrams) != kDns) return 4;
              return peer_of_stream() == kDns ? 0 : 5;
            }),
            0);
}

TEST_F(NamePortTest, LeavesPort53ToWhoeverBindsIt) {
  EXPECT_EQ(inside([this](int datagrams) {
              const auto port = NamePort::create(root_.c_str(), kAgentsPort);
              if (!port) return 1;
              const UniqueFd server = open_socket(AF_INET, SOCK_DGRAM);
              sockaddr_in any{};
              any.sin_family = AF_INET;
              any.sin_port = htons(kDns);
              if (::bind(server.get(), raw(any), sizeof any) != 0) return 2;
              return ask_connected(datagrams);
            }),
            0);
}

TEST_F(NamePortTest, MeansNoOtherNetworkNamespace) {
  EXPECT_EQ(inside([this](int) {
              const auto port = NamePort::create(root_.c_str(), kAgentsPort);
              if (!port || !enter_new_namespace()) return 1;
              return ask_connected(-1);
            }),
            ECONNREFUSED);
}

TEST_F(NamePortTest, IsGoneWithTheObject) {
  EXPECT_EQ(inside([this](int) {
              if (!NamePort::create(root_.c_str(), kAgentsPort)) return 1;
              return ask_connected(-1);
            }),
            ECONNREFUSED);
}

}  // namespace
}  // namespace agentvm::guest
