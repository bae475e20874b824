// A bound guest's link and the firewall behind it, in a network namespace of the test's own, with
// the test as the guest: it writes frames to the tap and looks at what comes out on the other side.
#include "runtime/egress/link.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <random>

#include "oci/base/sys.h"
#include "runtime/egress/gateway.h"
#include "runtime/egress/ruleset.h"

namespace agentvm::runtime {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::size_t kTapHeader = 10;  // struct virtio_net_hdr, which C++ cannot include

// In everything that the guest of these tests sends.
constexpr std::string_view kCookie = "a guest's own words";

std::string address_bytes(const std::string& text) {
  std::array<char, 16> bytes{};
  if (::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) return {bytes.data(), 4};
  EXPECT_EQ(::inet_pton(AF_INET6, text.c_str(), bytes.data()), 1) << text;
  return {bytes.data(), 16};
}

std::uint16_t checksum(std::string_view bytes, std::uint32_t sum = 0) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    sum += i % 2 == 0 ? static_cast<std::uint32_t>(byte) << 8 : byte;
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

std::string network_order(std::uint16_t value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value & 0xff)};
}

struct Packet {
  std::string from;
  std::string to;
  std::uint8_t protocol = IPPROTO_UDP;
  std::uint16_t port = 443;
  std::uint8_t flags = TH_SYN;  // of TCP
  std::uint8_t type = 128;      // of ICMP
  std::uint16_t from_port = 40'000;
};

std::string transport(const Packet& packet, const std::string& from, const std::string& to) {
  std::string bytes = network_order(packet.from_port) + network_order(packet.port);
  std::size_t place = 6;
  if (packet.protocol == IPPROTO_TCP) {
    bytes += std::string("\0\0\0\1\0\0\0\1\x50", 9) + static_cast<char>(packet.flags) +
             network_order(8192) + std::string(4, '\0');
    place = 16;
  } else if (packet.protocol == IPPROTO_UDP) {
    bytes += network_order(static_cast<std::uint16_t>(8 + kCookie.size())) + std::string(2, '\0');
  } else {
    bytes = std::string{static_cast<char>(packet.type), '\0'} + std::string(6, '\0');
    place = 2;
  }
  bytes += kCookie;
  const bool bare = packet.protocol == IPPROTO_ICMP;
  const std::string pseudo = bare ? ""
                                  : from + to +
                                        network_order(static_cast<std::uint16_t>(bytes.size())) +
                                        network_order(packet.protocol);
  bytes.replace(place, 2, network_order(checksum(pseudo + bytes)));
  return bytes;
}

// From the network header on.
std::string datagram(const Packet& packet) {
  const std::string from = address_bytes(packet.from);
  const std::string to = address_bytes(packet.to);
  const std::string body = transport(packet, from, to);
  if (from.size() == 16) {
    return std::string("\x60\0\0\0", 4) + network_order(static_cast<std::uint16_t>(body.size())) +
           static_cast<char>(packet.protocol) + '\xff' + from + to + body;
  }
  std::string header = std::string("\x45\0", 2) +
                       network_order(static_cast<std::uint16_t>(20 + body.size())) +
                       std::string("\0\1\0\0\x40", 5) + static_cast<char>(packet.protocol) +
                       std::string(2, '\0') + from + to;
  header.replace(10, 2, network_order(checksum(header)));
  return header + body;
}

void ip(const std::string& arguments) {
  ASSERT_EQ(std::system(("ip " + arguments).c_str()), 0) << arguments;
}

class SandboxLinkTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::geteuid(), 0U);
    home_ = *sys::open_at(AT_FDCWD, "/proc/thread-self/ns/net", O_RDONLY);
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    ip("link set lo up");
    ip("link add eth0 mtu 1400 type veth peer name world");
    ip("addr add 10.88.0.2/24 dev eth0");
    ip("addr add fd88::2/64 dev eth0 nodad");
    ip("link set eth0 up");
    ip("link set world up");
    for (const std::string gateway : {"10.88.0.1", "fd88::1"}) {
      ip("neigh add " + gateway + " lladdr 02:00:00:00:00:01 dev eth0");
      ip("route add default via " + gateway);
    }
    world_ =
        UniqueFd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL)));
    sockaddr_ll at{};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_ALL);
    at.sll_ifindex = static_cast<int>(::if_nametoindex("world"));
    ASSERT_EQ(::bind(world_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    netlink_ = *open_netlink();
  }
  void TearDown() override { (void)::setns(home_.get(), CLONE_NEWNET); }

  void bring_up() {
    const auto scan = scan_network(netlink_.get());
    ASSERT_TRUE(scan);
    auto link = make_link(netlink_.get(), *scan);
    ASSERT_TRUE(link) << link.error().text();
    link_ = *std::move(link);
    ASSERT_EQ(::fcntl(link_.tap.fd.get(), F_SETFL, O_NONBLOCK), 0);
    auto four = open_gateway_sockets(link_.addresses.ours4);
    auto six = open_gateway_sockets(link_.addresses.ours6);
    ASSERT_TRUE(four && six);
    sockets_.push_back(*std::move(four));
    sockets_.push_back(*std::move(six));
    const RulesetPlan plan{link_.name, link_.addresses, sockets_[0].ports, sockets_[1].ports, 4711};
    // Twice: what an earlier VM left is replaced.
    for (int i = 0; i < 2; ++i) {
      const auto applied = apply_ruleset(make_ruleset(plan));
      ASSERT_TRUE(applied) << applied.error().text();
    }
    ASSERT_TRUE(begin_forwarding(true));
    mac_ = mac_of(link_.name);
    // Otherwise answers would have to wait for the guest's.
    for (const std::string& guest : {link_.addresses.theirs4, link_.addresses.theirs6}) {
      ip("neigh add " + guest + " lladdr 02:00:00:00:00:07 dev " + link_.name);
    }
  }

  [[nodiscard]] std::string mac_of(const std::string& interface) const {
    ifreq request{};
    std::strncpy(request.ifr_name, interface.c_str(), IFNAMSIZ - 1);
    EXPECT_EQ(::ioctl(world_.get(), SIOCGIFHWADDR, &request), 0);
    return {request.ifr_hwaddr.sa_data, ETH_ALEN};
  }

  void send_frame(std::uint16_t type, const std::string& payload) const {
    const std::string frame = std::string(kTapHeader, '\0') + mac_ +
                              std::string("\2\0\0\0\0\7", 6) + network_order(type) + payload;
    EXPECT_EQ(::write(link_.tap.fd.get(), frame.data(), frame.size()),
              static_cast<ssize_t>(frame.size()));
  }
  void send(const Packet& packet) const {
    const std::string bytes = datagram(packet);
    send_frame(bytes[0] == 0x60 ? ETHERTYPE_IPV6 : ETHERTYPE_IP, bytes);
  }

  // What has come to `fd` by now, a frame after the other.
  static std::string all_of(int fd) {
    std::string seen;
    std::array<char, 70'000> bytes;
    for (ssize_t n = ::read(fd, bytes.data(), bytes.size()); n > 0;
         n = ::read(fd, bytes.data(), bytes.size())) {
      seen.append(bytes.data(), static_cast<std::size_t>(n));
    }
    return seen;
  }
  // Everything up to `wanted`, which has to come.
  static std::string until(int fd, const std::string& wanted) {
    std::string seen = all_of(fd);
    pollfd entry{fd, POLLIN, 0};
    while (seen.find(wanted) == std::string::npos && ::poll(&entry, 1, 10'000) == 1) {
      seen += all_of(fd);
    }
    EXPECT_THAT(seen, HasSubstr(wanted));
    return seen;
  }
  [[nodiscard]] std::string heard_by_guest(const std::string& from) const {
    const bool six = from.find(':') != std::string::npos;
    const std::string& guest = six ? link_.addresses.theirs6 : link_.addresses.theirs4;
    return until(link_.tap.fd.get(), address_bytes(from) + address_bytes(guest));
  }

  UniqueFd home_;
  UniqueFd world_;  // sees what leaves by eth0
  NetlinkSocket netlink_;
  SandboxLink link_;
  std::vector<GatewaySockets> sockets_;
  std::string mac_;  // of the tap
};

TEST_F(SandboxLinkTest, HasItsAddressesAndBelievesNothing) {
  bring_up();
  EXPECT_EQ(link_.mtu, 1400U);
  EXPECT_TRUE(link_.ipv6);
  EXPECT_TRUE(reaches_ipv6());
  EXPECT_TRUE(read_forwarding().ipv4 && read_forwarding().ipv6);
  for (const char* setting : {"accept_ra", "accept_redirects", "autoconf", "disable_ipv6"}) {
    EXPECT_EQ(*sys::read_file("/proc/sys/net/ipv6/conf/" + link_.name + "/" + setting, 16), "0\n")
        << setting;
  }
  restore_forwarding({});
  EXPECT_FALSE(read_forwarding().ipv4 || read_forwarding().ipv6);
  EXPECT_TRUE(apply_ruleset(make_ruleset_removal()));
  EXPECT_TRUE(apply_ruleset(make_ruleset_removal()));
  remove_link(netlink_.get(), link_.tap.index);
  EXPECT_EQ(::if_nametoindex(link_.name.c_str()), 0U);
}

TEST_F(SandboxLinkTest, GoesOutOfTheWayOfTheNamespacesOwnAddresses) {
  const auto chosen = [&] { return choose_addresses(*scan_network(netlink_.get())); };
  EXPECT_EQ(chosen()->ours4, "10.213.0.1");
  ip("addr add 10.213.0.2/28 dev eth0");
  EXPECT_EQ(chosen()->ours4, "10.213.0.17");
  ip("route add 10.213.0.0/18 via 10.88.0.1");
  EXPECT_EQ(chosen()->net4, "10.213.64.0");
  ip("route add 10.0.0.0/8 via 10.88.0.1");
  EXPECT_THAT(chosen().error().text(), HasSubstr("has a route for all of 10.213.0.0/16"));
}

TEST_F(SandboxLinkTest, WhatTheKernelDoesNotTakeIsSaid) {
  EXPECT_THAT(apply_ruleset("add rule inet nowhere at_all accept").error().text(),
              HasSubstr("nftables: "));
}

TEST_F(SandboxLinkTest, ConnectionsOfTheGuestReachTheGatewayWhereverTheyWereMeantFor) {
  bring_up();
  std::uint16_t port = 40'000;
  for (const char* to : {"203.0.113.9", "10.88.0.1", "10.88.0.2", "10.213.0.1", "192.168.7.7"}) {
    send({.from = "10.213.0.2", .to = to, .protocol = IPPROTO_TCP, .from_port = ++port});
    (void)heard_by_guest(to);
  }
  send({.from = link_.addresses.theirs6, .to = "2001:db8::9", .protocol = IPPROTO_TCP});
  (void)heard_by_guest("2001:db8::9");
  for (const int family : {0, 1}) {
    send({.from = family == 0 ? "10.213.0.2" : link_.addresses.theirs6,
          .to = family == 0 ? "203.0.113.9" : "2001:db8::9",
          .port = 53});
    (void)until(sockets_.at(static_cast<std::size_t>(family)).dns_udp.get(), std::string(kCookie));
  }
  EXPECT_THAT(all_of(world_.get()), Not(HasSubstr(std::string(kCookie))));
}

TEST_F(SandboxLinkTest, MetadataAndLinkLocalAddressesAreNotEvenRefused) {
  bring_up();
  const std::vector<std::string> unheard{
      "169.254.169.254", "169.254.1.1",   "127.0.0.1", "0.0.0.0",  "224.0.0.251",
      "255.255.255.255", "fd00:ec2::254", "fe80::1",   "ff02::fb", "::ffff:169.254.169.254"};
  const auto guest_to = [this](const std::string& to) {
    const bool six = to.find(':') != std::string::npos;
    return six ? link_.addresses.theirs6 : link_.addresses.theirs4;
  };
  for (const std::string& to : unheard) {
    send({.from = guest_to(to), .to = to, .protocol = IPPROTO_TCP});
    send({.from = guest_to(to), .to = to, .port = 53});
  }
  send({.from = "10.213.0.2", .to = "203.0.113.9", .protocol = IPPROTO_TCP});
  const std::string answers = heard_by_guest("203.0.113.9");
  for (const std::string& to : unheard) {
    EXPECT_THAT(answers, Not(HasSubstr(address_bytes(to) + address_bytes(guest_to(to))))) << to;
  }
}

TEST_F(SandboxLinkTest, NothingThatTheGuestMakesUpLeavesTheNamespace) {
  bring_up();
  std::mt19937 random(20'211);
  const auto pick = [&](auto... values) {
    const std::array all{std::string(values)...};
    return all.at(random() % all.size());
  };
  for (int i = 0; i < 20'000; ++i) {
    const bool six = random() % 3 == 0;
    Packet packet;
    packet.from = six ? pick(link_.addresses.theirs6, "fd88::2", "2001:db8::1", "fe80::7")
                      : pick("10.213.0.2", "10.88.0.2", "203.0.113.9", "10.213.0.1", "127.0.0.1");
    packet.to =
        six ? pick("2001:db8::9", "fd88::1", "fd88::2", "fe80::1", "ff02::1", link_.addresses.ours6)
            : pick("203.0.113.9", "10.88.0.1", "10.88.0.2", "10.213.0.1", "169.254.169.254",
                   "10.88.0.255", "127.0.0.1");
    constexpr std::array<std::uint8_t, 14> kProtocols{6,   17, 1,   58, 2,  47, 50,
                                                      132, 41, 255, 0,  43, 44, 60};
    packet.protocol = kProtocols.at(random() % kProtocols.size());
    packet.flags = static_cast<std::uint8_t>(random());
    packet.type = static_cast<std::uint8_t>(random());
    packet.port = random() % 2 == 0 ? 53 : static_cast<std::uint16_t>(random());
    packet.from_port = static_cast<std::uint16_t>(random());
    std::string bytes = datagram(packet);
    // Some of them are no packets at all.
    if (random() % 8 == 0) bytes.at(random() % bytes.size()) = static_cast<char>(random());
    constexpr std::array<std::uint16_t, 6> kTypes{0, 0, 0, ETHERTYPE_VLAN, ETHERTYPE_ARP, 0x8863};
    const std::uint16_t type = kTypes.at(random() % kTypes.size());
    send_frame(type != 0 ? type : six ? ETHERTYPE_IPV6 : ETHERTYPE_IP, bytes);
    if (i % 256 == 0) {
      (void)all_of(link_.tap.fd.get());
      EXPECT_THAT(all_of(world_.get()), Not(HasSubstr(std::string(kCookie))));
    }
  }
  EXPECT_THAT(all_of(world_.get()), Not(HasSubstr(std::string(kCookie))));
}

// The kernel reads hop-by-hop options before any firewall for packets, and answers those that it
// does not know with an error to whoever the sender says that it is.
TEST_F(SandboxLinkTest, ErrorsOfTheKernelCarryNothingOut) {
  bring_up();
  for (const std::string from : {"2001:db8::1", "fd88::1", "fd88::2", "fe80::9"}) {
    for (const std::string& to : {link_.addresses.ours6, std::string("fd88::2"),
                                 std::string("2001:db8::9"), std::string("ff02::1")}) {
      for (const int option : {0x80, 0xc0, 0x82, 0xc2}) {
        std::string body{'\x3b', '\0', static_cast<char>(option), '\4', 0, 0, 0, 0};
        body += kCookie;
        for (const char next : {'\0', '\x2b', '\x3c'}) {
          send_frame(ETHERTYPE_IPV6, std::string("\x60\0\0\0", 4) +
                                         network_order(static_cast<std::uint16_t>(body.size())) +
                                         next + '\xff' + address_bytes(from) + address_bytes(to) +
                                         body);
        }
      }
    }
  }
  // Behind all of that.
  send({.from = "10.213.0.2", .to = "203.0.113.9", .protocol = IPPROTO_TCP});
  (void)heard_by_guest("203.0.113.9");
  EXPECT_THAT(all_of(world_.get()), Not(HasSubstr(std::string(kCookie))));
}

TEST_F(SandboxLinkTest, WhoComesToAPortOfTheGuestIsAnsweredAndNobodyElse) {
  bring_up();
  struct Family {
    std::string guest, own, client, other;
  };
  for (const Family& at : {Family{"10.213.0.2", "10.88.0.2", "203.0.113.9", "203.0.113.10"},
                           Family{link_.addresses.theirs6, "fd88::2", "2001:db8::9", "fd88::9"}}) {
    const std::uint16_t type = at.guest == "10.213.0.2" ? ETHERTYPE_IP : ETHERTYPE_IPV6;
    const std::string frame = mac_of("eth0") + std::string("\2\0\0\0\0\1", 6) +
                              network_order(type) +
                              datagram({.from = at.client, .to = at.own, .port = 8080});
    ASSERT_EQ(::write(world_.get(), frame.data(), frame.size()),
              static_cast<ssize_t>(frame.size()));
    (void)heard_by_guest(at.client);
    (void)all_of(world_.get());
    // The same words to others first, then the answer.
    send({.from = at.guest, .to = at.other, .port = 40'000, .from_port = 8080});
    send({.from = at.guest, .to = at.client, .port = 40'001, .from_port = 8080});
    send({.from = at.guest, .to = at.client, .port = 40'000, .from_port = 8080});
    const std::string left = until(world_.get(), std::string(kCookie));
    const std::size_t first = left.find(kCookie);
    ASSERT_NE(first, std::string::npos);
    EXPECT_EQ(left.find(kCookie, first + 1), std::string::npos);
    EXPECT_THAT(left, HasSubstr(address_bytes(at.own) + address_bytes(at.client)));
    EXPECT_THAT(left, Not(HasSubstr(address_bytes(at.guest))));
  }
}

}  // namespace
}  // namespace agentvm::runtime
