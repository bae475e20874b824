#include "tests/e2e/harness/network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "oci/base/unique_fd.h"

namespace agentvm::e2e {

namespace {

constexpr const char* kOutside = "-out";

std::vector<std::string> in_namespace(const std::string& name,
                                      const std::vector<std::string>& argv) {
  std::vector<std::string> all{"nsenter", "--net=/run/netns/" + name};
  all.insert(all.end(), argv.begin(), argv.end());
  return all;
}

// A DNS answer to `question` (RFC 1035, 4.1): its header and question section, one address.
std::string answer_to(const std::string& question) {
  constexpr std::size_t kHeader = 12;
  std::size_t end = kHeader;
  while (end < question.size() && question[end] != 0) {
    end += static_cast<unsigned char>(question[end]) + 1U;
  }
  end += 5;  // the root's label, type, class
  if (end > question.size()) return {};
  const bool address = question[end - 3] == 1;
  std::string answer = question.substr(0, 2) + std::string("\x81\x80\0\1\0", 5);
  answer += static_cast<char>(address ? 1 : 0);
  answer += std::string(4, '\0') + question.substr(kHeader, end - kHeader);
  if (address) answer += std::string("\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\7", 16);
  return answer;
}

[[noreturn]] void serve_names(int netns) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::setns(netns, CLONE_NEWNET) != 0) ::_exit(1);
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(53);
  address.sin_addr.s_addr = htonl(0x0a580001);
  if (::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) ::_exit(2);
  for (;;) {
    std::array<char, 4096> bytes;
    sockaddr_in from{};
    socklen_t length = sizeof from;
    const ssize_t n = ::recvfrom(socket, bytes.data(), bytes.size(), 0,
                                 reinterpret_cast<sockaddr*>(&from), &length);
    if (n <= 0) continue;
    const std::string answer = answer_to({bytes.data(), static_cast<std::size_t>(n)});
    ::sendto(socket, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from), length);
  }
}

}  // namespace

TestNetwork::TestNetwork(int mtu) : name_(fmt::format("agentvm-e2e-{}", ::getpid())) {
  const std::string outside = name_ + kOutside;
  const std::string size = std::to_string(mtu);
  ip({"netns", "add", name_});
  ip({"netns", "add", outside});
  ip({"-n", name_, "link", "set", "lo", "up"});
  ip({"-n", outside, "link", "set", "lo", "up"});
  add_interface("eth0", "10.88.0.2/24", "10.88.0.1/24");
  for (const std::string& name : {name_, outside}) {
    ip({"-n", name, "link", "set", "eth0", "mtu", size});
  }
  ip({"-n", name_, "addr", "add", "fd88::2/64", "dev", "eth0", "nodad"});
  ip({"-n", outside, "addr", "add", "fd88::1/64", "dev", "eth0", "nodad"});
  ip({"-n", name_, "route", "add", "default", "via", "10.88.0.1"});
}

TestNetwork::~TestNetwork() {
  ip({"netns", "del", name_});
  ip({"netns", "del", name_ + kOutside});
}

void TestNetwork::ip(const std::vector<std::string>& arguments) const {
  std::vector<std::string> argv{"ip"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  const Outcome done = run_command(argv);
  EXPECT_EQ(done.status, 0) << done.err;
}

void TestNetwork::add_interface(const std::string& name, const std::string& address,
                                const std::string& gateway) const {
  const std::string outside = name_ + kOutside;
  ip({"-n", outside, "link", "add", name, "type", "veth", "peer", "name", name, "netns", name_});
  ip({"-n", outside, "addr", "add", gateway, "dev", name});
  ip({"-n", outside, "link", "set", name, "up"});
  ip({"-n", name_, "addr", "add", address, "brd", "+", "dev", name});
  ip({"-n", name_, "link", "set", name, "up"});
}

std::vector<std::string> TestNetwork::inside(const std::vector<std::string>& argv) const {
  return in_namespace(name_, argv);
}

std::vector<std::string> TestNetwork::outside(const std::vector<std::string>& argv) const {
  return in_namespace(name_ + kOutside, argv);
}

Outcome TestNetwork::run_inside(const std::vector<std::string>& argv) const {
  return run_command(inside(argv));
}

Outcome TestNetwork::run_outside(const std::vector<std::string>& argv) const {
  return run_command(outside(argv));
}

TestNameServer::TestNameServer(const TestNetwork& network) {
  const UniqueFd netns(::open((network.path() + kOutside).c_str(), O_RDONLY | O_CLOEXEC));
  pid_ = ::fork();
  if (pid_ == 0) serve_names(netns.get());
}

TestNameServer::~TestNameServer() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

}  // namespace agentvm::e2e
